"""The errors that a user can cause. Everything else is a bug and keeps its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KaoganError(Exception):
    """Something outside kaogan is wrong: a file, a picture, the disk. One line: what, where, what to do."""

    exit_code = 1


class UsageError(KaoganError):
    """The words of the call are wrong: an unknown recipe, key, value or path."""

    exit_code = 2


class ProcessLostError(KaoganError):
    """Another process of the run has ended and says why; the run can go on from its checkpoint."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


def is_out_of_memory(error: BaseException) -> bool:
    """PyTorch has its own type for accelerators, and a plain RuntimeError for the CPU."""
    return isinstance(error, MemoryError) or (
        type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word: ``" (did you mean 'hair'?)"``, or all the choices when none is near."""
    known = list(known)
    matches = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)
    if matches:
        return f" (did you mean '{matches[0]}'?)"
    return f" (choose from {', '.join(known)})" if known else ""
