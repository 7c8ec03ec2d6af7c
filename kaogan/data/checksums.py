"""Checksums of the pictures of a source, by which a set is known wherever it lies and whenever it was copied.

A zip brings the CRC-32 of every member, storage behind an address its own marks of a file's contents. For folders and
tars it is computed once from all bytes and remembered beside the picture cache under name, size and time; time is a
shortcut and no part of the result.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kaogan.core.atomic_io import atomic
from kaogan.core.errors import KaoganError
from kaogan.core.progress import Progress
from kaogan.data.cache import in_order
from kaogan.data.decoding import BrokenPicture
from kaogan.data.shards.index import TextColumn
from kaogan.data.sources.base import Entry, Source
from kaogan.data.sources.remote import RemoteFolder
from kaogan.data.sources.zip import Zip

UNREADABLE = -1
_BLOCK = 1 << 20
_TELL_EVERY = 256


def content_checksums(source: Source, folder: Path, progress: Progress | None = None) -> Sequence[int]:
    """The CRC-32 of each entry, UNREADABLE where there is none. ``folder`` is the cache's, which need not be there."""
    entries = source.listing.entries
    if isinstance(source, Zip | RemoteFolder):
        return [entry.stamp for entry in entries]
    file = folder / "checksums" / f"{hashlib.sha256(str(source.path.resolve()).encode()).hexdigest()[:32]}.npz"
    now = _Remembered.of(entries)
    sums = now.sums_of(_read(file))
    new = np.flatnonzero(sums == UNREADABLE).tolist()
    for done, (index, checksum) in enumerate(in_order(new, lambda index: _checksum(source, index)), 1):
        sums[index] = checksum
        if progress and done % _TELL_EVERY == 0:
            progress(done, len(new), "looking for changes")
    if new:
        with suppress(KaoganError, OSError), atomic(file) as temporary:  # or the next run reads them again
            replace(now, sums=sums).write(temporary)
    return sums.tolist()


@dataclass(frozen=True)
class _Remembered:
    """Columns of a million files are read at once; as JSON they took seconds and hundreds of megabytes."""

    names: TextColumn
    sizes: np.ndarray
    stamps: np.ndarray
    sums: np.ndarray

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> _Remembered:
        sizes, stamps = (
            np.fromiter(each, np.int64, len(entries))
            for each in ((e.size for e in entries), (e.stamp for e in entries))
        )
        return cls(TextColumn.of([e.name for e in entries]), sizes, stamps, np.full(len(entries), UNREADABLE, np.int64))

    def sums_of(self, known: _Remembered | None) -> np.ndarray:
        """The known checksums of these files, UNREADABLE where there is none for this size and time."""
        if known is None:
            return self.sums.copy()
        if self.names == known.names:
            return np.where((self.sizes == known.sizes) & (self.stamps == known.stamps), known.sums, UNREADABLE)
        place = {name: at for at, name in enumerate(known.names)}
        at = np.fromiter((place.get(name, -1) for name in self.names), np.int64, len(self.names))
        same = (at >= 0) & (self.sizes == known.sizes[at]) & (self.stamps == known.stamps[at])
        return np.where(same, known.sums[at], UNREADABLE)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"sizes": self.sizes, "stamps": self.stamps, "sums": self.sums, **self.names.arrays("name")}

    def digest(self) -> int:
        return zlib.crc32(b"".join(np.ascontiguousarray(each).tobytes() for each in self.arrays().values()))

    def write(self, path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, digest=np.array([self.digest()]), **self.arrays())  # type: ignore[arg-type]


def _checksum(source: Source, index: int) -> int:
    try:
        data = source.read(index)
        if isinstance(data, bytes):
            return zlib.crc32(data)
        checksum = 0
        with data.open("rb") as file:
            while block := file.read(_BLOCK):
                checksum = zlib.crc32(block, checksum)
        return checksum
    except (BrokenPicture, OSError):
        return UNREADABLE


def _read(file: Path) -> _Remembered | None:
    """What is remembered, and nothing where the file is damaged: a wrong checksum would be another set."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            names = TextColumn(arrays["name.data"], arrays["name.ends"])
            found = _Remembered(names, arrays["sizes"], arrays["stamps"], arrays["sums"])
            whole = len({len(names), *(len(each) for each in (found.sizes, found.stamps, found.sums))}) == 1
            return found if whole and len(names) and int(arrays["digest"][0]) == found.digest() else None
    except Exception:  # a damaged zip of arrays raises more than is written anywhere
        return None
