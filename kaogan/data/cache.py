"""Picture cache: decoded pictures on disk, whole or absent, checked by blocks, memory-mapped by every later run."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from kaogan.data.decoding import BrokenPicture

VERSION = 1  # raise it when the same file would decode to other pixels
FORMAT = 2  # of the files in an entry; others are made anew
IMAGES, INDEX = "images.npy", "index.json"
_HEADER = 128  # bytes, of a .npy file
_BLOCK = 1 << 20  # bytes; a block of whole pictures has about that many, and a checksum
CHECKED_AT_START = 256  # blocks, spread over the whole; the others are checked when they are first read

Item = TypeVar("Item")
# Called inside the lock; yields (name, picture) or (name, why there is none) in the final order.
Produce = Callable[[], Iterable[tuple[str, np.ndarray | BrokenPicture]]]
Found = tuple[np.ndarray, list[str], list[tuple[str, str]], list[str]]


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


class CachedImages(np.memmap):
    """uint8 (N, *shape) of a cache entry, read-only. Indexing the first axis checks every block that it touches once.

    Raises KaoganError for a damaged block, and removes the entry, so that the next run makes it anew.
    """

    _checks: _Checks | None = None

    def __array_finalize__(self, of: Any) -> None:
        super().__array_finalize__(of)
        self._checks = None  # a part of the array has other rows

    def __getitem__(self, index: Any) -> Any:
        if self._checks is not None:
            self._checks.check_rows(index[0] if isinstance(index, tuple) and index else index)
        found = super().__getitem__(index)
        return found.view(np.ndarray) if isinstance(found, np.ndarray) else found


class _Checks:
    """Which blocks of an entry's pictures were compared with their checksums."""

    def __init__(self, entry: Path, images: np.ndarray, sums: Sequence[int]) -> None:
        self._entry, self._images, self._sums = entry, images, sums
        self._size = _pictures_a_block(images.shape[1:])
        self._open = np.ones(len(sums), bool)

    def check_some(self) -> bool:
        """Check blocks spread over the whole; False when one is damaged."""
        count = len(self._sums)
        chosen = np.unique(np.linspace(0, count - 1, min(count, CHECKED_AT_START)).astype(int))
        return all(self._is_whole(block) for block in chosen.tolist())

    def check_rows(self, rows: Any) -> None:
        if not self._open.any():
            return
        blocks = np.zeros(len(self._sums), bool)
        try:
            blocks[np.atleast_1d(np.arange(len(self._images))[rows]) // self._size] = True
        except IndexError:
            return  # the array itself will say so
        for block in map(int, np.flatnonzero(blocks & self._open)):
            if not self._is_whole(block):
                with suppress(OSError):
                    (self._entry / INDEX).unlink()
                raise KaoganError(
                    f"the picture cache {self._entry} is damaged (block {block:,}); run the same command again, which "
                    "makes it anew"
                )

    def _is_whole(self, block: int) -> bool:
        part = self._images[block * self._size : (block + 1) * self._size]
        whole = zlib.crc32(np.ascontiguousarray(part).data) == self._sums[block]
        self._open[block] = not whole
        return whole


def cached_pictures(
    folder: Path,
    fingerprint: str,
    shape: tuple[int, int, int],
    produce: Produce,
    has_passed: Callable[[Sequence[str]], bool] = lambda names: False,
) -> tuple[np.ndarray, list[str], list[tuple[str, str]], list[str], list[str]]:
    """The entry ``fingerprint``: uint8 (N, *shape) read-only, N names, the skipped (name, reason) pairs, the names of
    those whose reason is passing, and notes.

    It is made from ``produce()`` when absent or damaged, or when ``has_passed`` says that a passing reason holds no
    longer for one of the given names. Of several runs that want it at once, one makes it and the others wait. An entry
    without pictures is not kept. Raises KaoganError when the folder cannot be written.
    """
    entry = folder / fingerprint
    if found := _open(entry, shape, has_passed):
        return *found, []
    with _writing(folder), FileLock(folder / f"{fingerprint}.lock"):
        if found := _open(entry, shape, has_passed):  # another run made it while this one waited
            return *found, []
        there = (entry / INDEX).exists()
        notes = [f"the picture cache {entry} was damaged or incomplete: made anew"] if there else []
        for leftover in folder.glob(f".{fingerprint}{TEMPORARY_SUFFIX}*"):  # of a killed run: the lock is ours
            shutil.rmtree(leftover, ignore_errors=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{fingerprint}{TEMPORARY_SUFFIX}", dir=folder))
        try:
            names, skipped = _write(temporary, shape, produce())
            if not names:
                return np.empty((0, *shape), np.uint8), [], skipped, [], []
            _remove(entry)
            temporary.replace(entry)
            _sync(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    found = _open(entry, shape)
    if found is None:
        raise KaoganError(f"the picture cache {entry} changed while it was made; run the same command again")
    return *found, notes


def in_order(
    items: Iterable[Item], work: Callable[[Item], Any], workers: int | None = None
) -> Iterator[tuple[Item, Any]]:
    """Map ``work`` over threads, yielding (item, result) in order, with a bounded number of results in memory."""
    workers = workers or min(32, cores())
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


def cores() -> int:
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
    folder: Path, shape: tuple[int, int, int], pictures: Iterable[tuple[str, np.ndarray | BrokenPicture]]
) -> tuple[list[str], list[tuple[str, str]]]:
    """Plain writes rather than a writable memory map: on a full disk they raise, where a map kills the process."""
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    passing: list[str] = []
    sums: list[int] = []
    size = _pictures_a_block(shape)
    with (folder / IMAGES).open("wb") as file:
        file.write(bytes(_HEADER))
        for name, picture in pictures:
            if isinstance(picture, BrokenPicture):
                skipped.append((name, picture.reason))
                passing += [name] if picture.passing else []
            else:
                assert picture.shape == shape and picture.dtype == np.uint8
                data = np.ascontiguousarray(picture).data
                file.write(data)
                if len(names) % size == 0:
                    sums.append(0)
                sums[-1] = zlib.crc32(data, sums[-1])
                names.append(name)
        file.seek(0)
        file.write(_npy_header((len(names), *shape)))
        _flush(file)
    with (folder / INDEX).open("wb") as file:
        index = {"format": FORMAT, "shape": [len(names), *shape], "names": names, "skipped": skipped, "sums": sums}
        index |= {"passing": passing} if passing else {}
        text = json.dumps(index)
        file.write(json.dumps({"sum": zlib.crc32(text.encode()), "index": index}).encode("ascii"))
        _flush(file)
    return names, skipped


def _npy_header(shape: tuple[int, ...]) -> bytes:
    """A .npy header (format 1.0) of a fixed length, so that the number of pictures can be filled in last."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(_HEADER - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("ascii")


def _pictures_a_block(shape: Sequence[int]) -> int:
    return max(1, _BLOCK // math.prod(shape))


def _open(
    entry: Path, shape: tuple[int, int, int], has_passed: Callable[[Sequence[str]], bool] | None = None
) -> Found | None:
    """The entry if it is there and whole, as far as it is checked at the start, else None: it is made again."""
    try:
        content = json.loads((entry / INDEX).read_bytes())
        index = content["index"]
        if zlib.crc32(json.dumps(index).encode()) != content["sum"] or index["format"] != FORMAT:
            return None
        names, skipped = list(index["names"]), [(str(n), str(r)) for n, r in index["skipped"]]
        sums = list(index["sums"])
        passing = list(index.get("passing", ()))
        if not names or index["shape"] != [len(names), *shape] or (passing and has_passed and has_passed(passing)):
            return None
        with (entry / IMAGES).open("rb") as file:
            if file.read(_HEADER) != _npy_header((len(names), *shape)):
                return None
            if file.seek(0, os.SEEK_END) != _HEADER + len(names) * math.prod(shape):
                return None
        images = CachedImages(entry / IMAGES, np.uint8, "r", _HEADER, (len(names), *shape))
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError):
        return None
    if len(sums) != -(-len(names) // _pictures_a_block(shape)):
        return None
    checks = _Checks(entry, images.view(np.ndarray), sums)
    if not checks.check_some():
        return None
    images._checks = checks
    return images, names, skipped, passing


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
