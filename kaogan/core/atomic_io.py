"""Files that are either whole or absent."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kaogan.core.errors import KaoganError

TEMPORARY_SUFFIX = ".partial"

# Reading the mask means setting it for a moment, which threads that write files must not see.
_UMASK = os.umask(0)
os.umask(_UMASK)


def explain(error: OSError, path: Path) -> KaoganError:
    """The one-line form of an operating-system error about ``path``."""
    if error.errno == errno.ENOSPC:
        return KaoganError(f"the disk is full: could not write {path}; free some space and run the same command again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return KaoganError(f"no permission for {path}; choose another place or change its permissions")
    return KaoganError(f"{path}: {error.strerror or error}")


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed over ``path``, else removed.

    A reader, a crash or a full disk never sees half a file. Raises KaoganError for errors of the operating system.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays last, so that writers which look at it (Pillow, PyAV) still know the format.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}{TEMPORARY_SUFFIX}", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise explain(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written in ``folder``."""
    for leftover in folder.rglob(f".*{TEMPORARY_SUFFIX}*"):
        leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; not every system can open a folder."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
