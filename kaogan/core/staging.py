"""Outputs that are whole or absent: written beside their place and moved there at the end."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from kaogan.core.atomic_io import TEMPORARY_SUFFIX, explain, sync
from kaogan.core.errors import KaoganError, UsageError

_LOCK = ".lock"


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield a path to write a file or a folder to; on success it is moved to ``out``, else it is removed.

    What killed runs left beside ``out`` is swept; of two at once, the second is refused. Raises UsageError when
    ``out`` exists (an empty folder does not count), KaoganError for errors of the operating system.
    """
    stage = out.parent / f".{out.name}{TEMPORARY_SUFFIX}"
    lock = FileLock(stage / _LOCK)
    try:
        if os.path.lexists(out) and not (out.is_dir() and not out.is_symlink() and not any(out.iterdir())):
            _sweep_abandoned(out.parent)  # a kill between the last move and the end leaves the empty stage of ``out``
            raise UsageError(f"{out} exists; remove it or name another place")
        stage.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise KaoganError(f"another run is writing {out}; wait for it or name another place") from None
        try:
            _sweep(stage)
            _sweep_abandoned(out.parent, stage)
            yield stage / out.name
            result = stage / out.name
            if out.is_dir():
                out.rmdir()
            if result.is_file():
                sync(result)
            result.replace(out)
        finally:
            lock.release()
            shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        raise _explained(error, out) from error


def _explained(error: OSError, out: Path) -> KaoganError:
    if error.errno is None and (number := re.search(r"errno = (\d+)", str(error))):  # as h5py tells it
        error = OSError(int(number[1]), os.strerror(int(number[1])))
    return explain(error, out)


def _sweep(stage: Path) -> None:
    for leftover in stage.iterdir():
        if leftover.name == _LOCK:
            continue
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _sweep_abandoned(folder: Path, ours: Path | None = None) -> None:
    """Remove the stages of other outputs that nobody is writing: their locks are free."""
    for stage in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        if stage == ours:
            continue
        if not (stage / _LOCK).is_file():
            with suppress(OSError):  # an empty one is of a process that was killed while it removed its own
                stage.rmdir()
            continue
        with suppress(OSError, Timeout), FileLock(stage / _LOCK, timeout=0):
            shutil.rmtree(stage, ignore_errors=True)
