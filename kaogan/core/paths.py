"""Paths as they are given: what the system says of one that it cannot look up, in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kaogan.core.atomic_io import explain
from kaogan.core.errors import UsageError
from kaogan.core.text import shown


@contextmanager
def looking_at(path: str | os.PathLike[str]) -> Iterator[None]:
    """For ``expanduser``, ``exists``, ``is_file`` and the like. Raises KaoganError without permission or where the name
    is too long, UsageError for what is no path: ``~`` of nobody."""
    try:
        yield
    except OSError as error:
        raise explain(error, Path(path)) from error
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"not a path: {shown(str(path))}") from error
