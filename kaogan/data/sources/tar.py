"""A tar of pictures, plain or compressed. Nothing is ever extracted to a name that the archive chose."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError
from kaogan.data.sources import base
from kaogan.data.sources.archive import Archive, Member

_OPENERS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_BLOCK = 1 << 20
DAMAGED = "cannot be unpacked: the tar is damaged there"
MAX_HEADER = 1 << 20  # bytes of one extended header: a name is never that long


def is_tar(path: Path) -> bool:
    """By its contents: "ustar" in the first header, or a compressor's mark and a name that ends like a tar's."""
    start = _start(path)
    if start[257:262] == b"ustar" or path.suffix.lower() == ".tar":
        return True
    name = path.name.lower()
    return any(start.startswith(mark) for mark in _OPENERS) and (
        ".tar." in name or name.endswith((".tgz", ".tbz", ".tbz2", ".txz"))
    )


class Tar(Archive):
    """Members are read where they lie. A compressed tar is unpacked once, to a nameless file in the system's folder for
    temporary files that vanishes with the process, because reading it in any order would unpack it again and again.
    """

    kind = "tar"

    def _is_side(self, base_name: str) -> bool:
        """Also the labels of WebDataset's samples."""
        return base_name.endswith((".json", ".cls")) or super()._is_side(base_name)

    def _open(self, path: Path) -> None:
        self._file = _unpacked(path)
        self._time = path.stat().st_mtime_ns

    def _close(self) -> None:
        self._file.close()

    def offset(self, index: int) -> int | None:
        """Where in the file a picture begins; None in a compressed tar."""
        return self._places[index] if self._file.name == str(self.path) else None

    def _members(self) -> Iterator[Member]:
        size = self._file.seek(0, os.SEEK_END)
        if size == 0:
            raise KaoganError(f"{self.path} is not a whole tar (it is empty); download or pack it again")
        self._file.seek(0)
        with tarfile.open(fileobj=_Guarded(self._file), mode="r:") as archive:  # type: ignore[call-overload]
            for info in archive:
                yield self._member(info, size)
                archive.members.clear()  # it would keep every header; ours is a list of pictures only
            self.listing.skipped += damage(archive)

    def _member(self, info: tarfile.TarInfo, size: int) -> Member:
        # A tar holds no checksum of its contents: whatever changes the archive changes every stamp.
        stamp = zlib.crc32(f"{self._time}/{info.mtime}/{info.offset_data}".encode())
        regular = info.type in (tarfile.REGTYPE, tarfile.AREGTYPE)  # no links, devices, sparse files
        whole = info.offset_data + info.size <= size
        refused = None if whole else "cannot be unpacked: the tar ends before it does"
        return Member(info.name, info.isdir(), regular, info.size, stamp, info.offset_data, refused)

    def _read(self, place: int, size: int, limit: int) -> bytes:
        self._file.seek(place)
        return self._file.read(min(size, limit + 1))


def damage(archive: tarfile.TarFile) -> list[tuple[str, str]]:
    """(place, reason) of what was not read of a tar that seems to be at its end: so tarfile takes a damaged header."""
    end, file = archive.offset, archive.fileobj
    assert file is not None
    file.seek(end)
    return [(f"byte {end:,} onwards", DAMAGED)] if file.read(512).strip(b"\0") else []


class _Guarded:
    """What tarfile reads headers through: no single read that would fill the memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise explain(error, path) from error


def _unpacked(path: Path) -> IO[bytes]:
    start = _start(path)
    opener = next((opener for mark, opener in _OPENERS.items() if start.startswith(mark)), None)
    if opener is None:
        return path.open("rb")
    packed = path.stat().st_size
    limit = max(base.RATIO_FROM, base.MAX_RATIO * packed)
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - Tar closes it
    try:
        with opener(path) as stream:
            _copy(stream, spool, limit, path)
    except BaseException:
        spool.close()
        raise
    return spool


def _copy(stream: BinaryIO | IO[bytes], spool: IO[bytes], limit: int, path: Path) -> None:
    total = 0
    while True:
        try:
            block = stream.read(_BLOCK)
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise KaoganError(f"{path} is not a whole tar ({error}); download or pack it again") from error
        if not block:
            return
        total += len(block)
        if total > limit:
            raise KaoganError(f"{path} unpacks to more than {base.MAX_RATIO} times its size; this is no set")
        try:
            spool.write(block)
        except OSError as error:
            raise explain(error, Path(tempfile.gettempdir())) from error
