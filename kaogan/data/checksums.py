"""Checksums of the pictures of a source, by which a set is known wherever it lies and whenever it was copied.

A zip brings the CRC-32 of every member, storage behind an address its own marks of a file's contents. For folders and
tars it is computed once from all bytes and remembered beside the picture cache under name, size and time; time is a
shortcut and no part of the result.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from kaogan.core.atomic_io import write_text
from kaogan.core.errors import KaoganError
from kaogan.core.progress import Progress
from kaogan.data.cache import in_order
from kaogan.data.decoding import BrokenPicture
from kaogan.data.sources.base import Source
from kaogan.data.sources.remote import RemoteFolder
from kaogan.data.sources.zip import Zip

UNREADABLE = -1
_BLOCK = 1 << 20
_TELL_EVERY = 256

Known = dict[str, list[int]]  # name -> size, stamp, checksum


def content_checksums(source: Source, folder: Path, progress: Progress | None = None) -> Sequence[int]:
    """The CRC-32 of each entry, UNREADABLE where there is none. ``folder`` is the cache's, which need not be there."""
    entries = source.listing.entries
    if isinstance(source, Zip | RemoteFolder):
        return [entry.stamp for entry in entries]
    file = folder / "checksums" / f"{hashlib.sha256(str(source.path.resolve()).encode()).hexdigest()[:32]}.json"
    known = _read(file)
    new: list[int] = []
    sums = [UNREADABLE] * len(entries)
    for index, entry in enumerate(entries):
        found = known.get(entry.name)
        if found and found[:2] == [entry.size, entry.stamp]:
            sums[index] = found[2]
        else:
            new.append(index)
    for done, (index, checksum) in enumerate(in_order(new, lambda index: _checksum(source, index)), 1):
        sums[index] = checksum
        if progress and done % _TELL_EVERY == 0:
            progress(done, len(new), "looking for changes")
    if new:
        content = {e.name: [e.size, e.stamp, s] for e, s in zip(entries, sums, strict=True) if s != UNREADABLE}
        with suppress(KaoganError, OSError):  # the next run reads them again
            write_text(file, json.dumps({"sum": _sum(content), "files": content}))
    return sums


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


def _read(file: Path) -> Known:
    """What is remembered, and nothing where the file is damaged: a wrong checksum would be another set."""
    try:
        content = json.loads(file.read_bytes())
        files: Known = content["files"]
        return files if content["sum"] == _sum(files) else {}
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        return {}


def _sum(files: Known) -> int:
    return zlib.crc32(json.dumps(files).encode())
