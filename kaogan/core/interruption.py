"""Ctrl-C and the signals of an operating system or a scheduler, collected instead of obeyed."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


def ignore_stop() -> None:
    """Say nothing when a training is asked to stop."""


@contextlib.contextmanager
def interruptible(on_stop: Callable[[], None] = ignore_stop) -> Iterator[list[int]]:
    """Collect Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 in a list instead of dying of them; a second Ctrl-C ends at once. On
    Windows Ctrl-Break is collected too.

    ``on_stop`` is called at the first one, from the signal's handler.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def note(number: int, frame: object) -> None:
        caught.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])
        if len(caught) == 1:
            with contextlib.suppress(OSError):
                on_stop()

    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGBREAK")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    # A SIGHUP that is ignored (nohup) stays ignored.
    numbers = [n for n in numbers if n == signal.SIGINT or signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
