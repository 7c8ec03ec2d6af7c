"""Work for other processes, in a module that imports next to nothing."""

from __future__ import annotations

import os
import signal


def square(batch: list[int]) -> list[int]:
    return [number * number for number in batch]


def deadly(batch: list[int]) -> list[int]:
    """Kills the process that sees a 13."""
    if 13 in batch:
        os.kill(os.getpid(), signal.SIGKILL)
    return square(batch)


def refuse(batch: list[int]) -> list[int]:
    raise ValueError("a bug")
