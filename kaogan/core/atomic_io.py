"""Files that are either whole or absent."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from kaogan.core.errors import KaoganError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

TEMPORARY_SUFFIX = ".partial"
ABANDONED = 3600  # seconds without a change: where files can't be locked, the writer of such a file is dead

_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_SWEPT: set[Path] = set()  # folders that this process has swept: listing a large one for each file would take long

# Reading the mask means setting it for a moment, which threads that write files must not see.
_UMASK = os.umask(0)
os.umask(_UMASK)


def explain(error: OSError, path: Path) -> KaoganError:
    """The one-line form of an operating-system error about ``path``."""
    if error.errno == errno.ENOSPC:
        return KaoganError(f"the disk is full: could not write {path}; free some space and run the same command again")
    if error.errno in _DENIED:
        return KaoganError(f"no permission for {path}; choose another place or change its permissions")
    return KaoganError(f"{path}: {error.strerror or error}")


def is_denied(error: BaseException) -> bool:
    """Whether an error, or what caused it, is that a place can't be written: read-only, or of another user."""
    cause = error.__cause__ or error
    return isinstance(cause, OSError) and cause.errno in _DENIED


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is synced and renamed over ``path``, else removed.

    A reader, a crash or a full disk never sees half a file; what a killed writer left in the folder is removed.
    Raises KaoganError for errors of the operating system.
    """
    path = Path(path)
    temporary, handle = None, -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(path.parent)
        # The suffix stays last, so that writers which look at it (Pillow, PyAV) still know the format.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}{TEMPORARY_SUFFIX}", suffix=path.suffix)
        temporary = Path(name)
        if fcntl:  # the lock says that the writer lives, and ends with it
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_SH)
        else:
            handle = _close(handle)
        yield temporary
        sync(temporary)
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise explain(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        _close(handle)


def sync(file: Path) -> None:
    """Make the content of a file durable. Raises OSError."""
    # Windows syncs handles that may write only; elsewhere the file may be one that nobody may write.
    with file.open("rb" if fcntl else "r+b") as written:
        os.fsync(written.fileno())


def write_text(path: str | os.PathLike[str], text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sweep(folder: Path) -> None:
    """Remove what killed writers left half-written in ``folder`` and below it; living writers keep their files."""
    _remove_abandoned(folder.rglob(f".*{TEMPORARY_SUFFIX}*"))


def _sweep_once(folder: Path) -> None:
    if (resolved := folder.resolve()) not in _SWEPT:
        _SWEPT.add(resolved)
        _remove_abandoned(folder.glob(f".*{TEMPORARY_SUFFIX}*"))


def _remove_abandoned(files: Iterator[Path]) -> None:
    for file in files:
        with suppress(OSError):  # another process may be sweeping too
            if file.is_file() and _is_abandoned(file):
                file.unlink(missing_ok=True)


def _is_abandoned(file: Path) -> bool:
    if fcntl is None:
        return time.time() - file.stat().st_mtime > ABANDONED
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return time.time() - file.stat().st_mtime > ABANDONED
    return True


def _close(handle: int) -> int:
    if handle >= 0:
        os.close(handle)
    return -1


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
