"""Work for other processes, in a module that imports next to nothing."""

from __future__ import annotations

import os
import signal

from kaogan.core.errors import KaoganError


def square(batch: list[int]) -> list[int]:
    return [number * number for number in batch]


def deadly(batch: list[int]) -> list[int]:
    """Kills the process that sees a 13."""
    if 13 in batch:
        os.kill(os.getpid(), signal.SIGKILL)
    return square(batch)


def refuse(batch: list[int]) -> list[int]:
    raise ValueError("a bug")


def odd(number: int) -> int:
    """Refuses even numbers; 9 kills."""
    if number == signal.SIGKILL:
        os.kill(os.getpid(), number)
    if number % 2 == 0:
        raise KaoganError(f"{number} is even")
    return number


def kill_once(item: tuple[int, str]) -> int:
    """The square of a number; the first process that sees a 3 dies of it."""
    number, marker = item
    if number == 3 and not os.path.exists(marker):  # noqa: PTH110
        open(marker, "w").close()  # noqa: PTH123
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def threads_of(item: int) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")
