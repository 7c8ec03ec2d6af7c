"""Decoded pictures on disk: made once, whole or absent, memory-mapped by every later run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_dir

from kaogan.core.atomic_io import TEMPORARY_SUFFIX, explain
from kaogan.core.errors import KaoganError

VERSION = 1  # raise it when the same file would decode to other pixels
IMAGES, INDEX = "images.npy", "index.json"
_HEADER = 128  # bytes, of a .npy file

Item = TypeVar("Item")
Progress = Callable[[int, int, str], None]
# Called inside the lock; yields (name, picture) or (name, reason) in the final order.
Produce = Callable[[], Iterable[tuple[str, np.ndarray | str]]]


def cache_folder(chosen: Path | str | None = None) -> Path:
    """``chosen``, else $KAOGAN_CACHE, else the user's cache folder."""
    if chosen is not None:
        return Path(chosen).expanduser()
    if named := os.environ.get("KAOGAN_CACHE"):
        return Path(named).expanduser()
    return Path(user_cache_dir("kaogan")) / "pictures"


def fingerprint_of(*parts: object) -> str:
    """32 hex digits that change when any part changes; parts are JSON values."""
    text = json.dumps([VERSION, *parts], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def remembered(
    folder: Path, fingerprint: str, shape: tuple[int, int, int], produce: Produce
) -> tuple[np.ndarray, list[str], list[tuple[str, str]]]:
    """The entry ``fingerprint``: uint8 (N, *shape) read-only, N names, and the skipped (name, reason) pairs.

    It is made from ``produce()`` when absent or damaged. Of several runs that want it at once, one makes it and the
    others wait. An entry without pictures is not kept. Raises KaoganError when the folder cannot be written.
    """
    entry = folder / fingerprint
    if found := _open(entry, shape):
        return found
    with _writing(folder), FileLock(folder / f"{fingerprint}.lock"):
        if found := _open(entry, shape):  # another run made it while this one waited
            return found
        for leftover in folder.glob(f".{fingerprint}{TEMPORARY_SUFFIX}*"):  # of a killed run: the lock is ours
            shutil.rmtree(leftover, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{fingerprint}{TEMPORARY_SUFFIX}", dir=folder))
        try:
            names, skipped = _write(temporary, shape, produce())
            if not names:
                return np.empty((0, *shape), np.uint8), [], skipped
            _remove(entry)
            temporary.replace(entry)
            _sync(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    found = _open(entry, shape)
    if found is None:
        raise KaoganError(f"the picture cache {entry} changed while it was made; run the same command again")
    return found


def in_order(
    items: Iterable[Item], work: Callable[[Item], Any], workers: int | None = None
) -> Iterator[tuple[Item, Any]]:
    """Map ``work`` over threads, yielding (item, result) in order, with a bounded number of results in memory."""
    workers = workers or min(32, _cores())
    remaining = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        waiting: list[tuple[Item, Future[Any]]] = [(item, pool.submit(work, item)) for item in islice(remaining, 1)]
        try:
            while waiting:
                waiting += [(i, pool.submit(work, i)) for i in islice(remaining, 4 * workers + 1 - len(waiting))]
                item, future = waiting.pop(0)
                yield item, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    """The cores this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        reason = str(explain(error, folder))
        raise KaoganError(f"the picture cache cannot be written: {reason} (KAOGAN_CACHE names its folder)") from error


def _write(
    folder: Path, shape: tuple[int, int, int], pictures: Iterable[tuple[str, np.ndarray | str]]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Plain writes rather than a writable memory map: on a full disk they raise, where a map kills the process."""
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    with (folder / IMAGES).open("wb") as file:
        file.write(bytes(_HEADER))
        for name, picture in pictures:
            if isinstance(picture, str):
                skipped.append((name, picture))
            else:
                assert picture.shape == shape and picture.dtype == np.uint8
                file.write(np.ascontiguousarray(picture).data)
                names.append(name)
        file.seek(0)
        file.write(_npy_header((len(names), *shape)))
        _flush(file)
    with (folder / INDEX).open("wb") as file:
        index = {"version": VERSION, "shape": [len(names), *shape], "names": names, "skipped": skipped}
        file.write(json.dumps(index).encode("ascii"))
        _flush(file)
    return names, skipped


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """A .npy header (format 1.0) of a fixed length, so that the number of pictures can be filled in last."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(_HEADER - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("ascii")


def _open(entry: Path, shape: tuple[int, int, int]) -> tuple[np.ndarray, list[str], list[tuple[str, str]]] | None:
    """The entry if it is there and whole, else None: a damaged one is made again, not mourned."""
    try:
        index = json.loads((entry / INDEX).read_bytes())
        names, skipped = list(index["names"]), [(str(n), str(r)) for n, r in index["skipped"]]
        images = np.load(entry / IMAGES, mmap_mode="r", allow_pickle=False)
        size = (entry / IMAGES).stat().st_size
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    whole = (
        index.get("version") == VERSION
        and images.dtype == np.uint8
        and images.shape == (len(names), *shape)
        and size == _HEADER + images.nbytes
    )
    return (images, names, skipped) if whole and names else None


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make the rename itself durable; not every system can open a folder."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
