"""A tar of pictures, plain or compressed. Nothing is ever extracted to a name that the archive chose."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

from kaogan.data import sources
from kaogan.data.decoding import MAX_BYTES, BrokenPicture
from kaogan.data.sources import LABELS, Entry, Listing, natural
from kaogan.errors import KaoganError
from kaogan.files import explain

_OPENERS: dict[bytes, Callable[[Path], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_BLOCK = 1 << 20
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


class Tar:
    """Members are read where they lie. A compressed tar is unpacked once, to a nameless file in the system's folder for
    temporary files that vanishes with the process, because reading it in any order would unpack it again and again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listing = Listing()
        self._lock = threading.Lock()
        try:
            status = path.stat()
            self._file = _unpacked(path)
        except OSError as error:
            raise explain(error, path) from error
        self.stamp = f"tar/{status.st_size}/{status.st_mtime_ns}"
        self._pictures: list[tuple[Entry, int]] = []  # with the offset of its bytes
        self._labels: dict[str, tuple[int, int]] = {}
        try:
            self._list(status.st_mtime_ns)
        except KaoganError:
            raise
        except Exception as error:  # hostile headers raise more than tarfile's own errors
            raise KaoganError(f"{path} is not a whole tar ({error}); download or pack it again") from error
        self._pictures.sort(key=lambda picture: natural(picture[0].name))
        self.listing.entries = [entry for entry, _ in self._pictures]
        self.listing.sort()

    def __enter__(self) -> Tar:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _list(self, time: int) -> None:
        size = self._file.seek(0, os.SEEK_END)
        if size == 0:
            raise KaoganError(f"{self.path} is not a whole tar (it is empty); download or pack it again")
        self._file.seek(0)
        with tarfile.open(fileobj=_Guarded(self._file), mode="r:") as archive:  # type: ignore[call-overload]
            for count, member in enumerate(archive):
                if count >= sources.MAX_FILES:
                    raise KaoganError(f"{self.path} holds more than {sources.MAX_FILES:,} files; give a smaller set")
                self._add(member, size, time)
                archive.members.clear()  # it would keep every header; ours is a list of pictures only
            end = archive.offset
        self._file.seek(end)
        if self._file.read(512).strip(b"\0"):  # tarfile takes a damaged header for the end
            self.listing.skipped.append((f"byte {end:,} onwards", "cannot be unpacked: the tar is damaged there"))

    def _add(self, member: tarfile.TarInfo, size: int, time: int) -> None:
        name = member.name.replace("\\", "/").removeprefix("./")
        parts = name.split("/")
        if member.isdir() or any(sources.ignored(part) and part not in (".", "..") for part in parts):
            return
        if reason := _refused(member, name, parts, size):
            self.listing.skipped.append((name, reason))
        elif parts[-1] == LABELS:
            self.listing.labels.append(name)
            self._labels[name] = (member.offset_data, member.size)
        else:
            # A tar holds no checksum of its contents: whatever changes the archive changes every stamp.
            stamp = zlib.crc32(f"{time}/{member.mtime}/{member.offset_data}".encode())
            self._pictures.append((Entry(name, member.size, stamp), member.offset_data))

    def read(self, index: int) -> bytes:
        entry, offset = self._pictures[index]
        try:
            data = self._read(offset, entry.size)
        except OSError as error:
            raise BrokenPicture(f"cannot be unpacked: {error.strerror or error}") from error
        if len(data) < entry.size:
            raise BrokenPicture("cannot be unpacked: the tar ends before it does")
        return data

    def read_labels(self, name: str) -> bytes:
        offset, size = self._labels[name]
        try:
            return self._read(offset, min(size, MAX_BYTES))
        except OSError as error:
            raise explain(error, self.path / name) from error

    def _read(self, offset: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size)


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
    limit = max(sources.RATIO_FROM, sources.MAX_RATIO * packed)
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
            raise KaoganError(f"{path} unpacks to more than {sources.MAX_RATIO} times its size; this is no set")
        try:
            spool.write(block)
        except OSError as error:
            raise explain(error, Path(tempfile.gettempdir())) from error


def _refused(member: tarfile.TarInfo, name: str, parts: list[str], size: int) -> str | None:
    """Why a member is passed over, in the words used for zips."""
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in parts:
        return "its path leads out of the tar"
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):  # links, devices, sparse files
        return "not a regular file"
    if parts[-1] != LABELS and (reason := sources.why_no_picture(name)):
        return reason
    if member.size > MAX_BYTES:
        return f"too large: unpacks to more than {MAX_BYTES // 2**20} MB"
    if member.offset_data + member.size > size:
        return "cannot be unpacked: the tar ends before it does"
    return None
