"""The progress protocol of long work."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with how much is done, how much there is in all (0: unknown), and what is being done."""


def no_progress(done: int, total: int, what: str) -> None:
    """Show nothing."""
