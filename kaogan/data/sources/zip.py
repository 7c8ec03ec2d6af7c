"""A zip of pictures."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from kaogan.core.atomic_io import explain
from kaogan.data.sources import base
from kaogan.data.sources.archive import Archive, Member


def is_zip(path: Path) -> bool:
    """By its first bytes, or its name."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise explain(error, path) from error
    return start[:2] == b"PK" or path.suffix.lower() == ".zip"


class Zip(Archive):
    kind = "zip"

    def _open(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path)

    def _close(self) -> None:
        self._archive.close()

    def _members(self) -> Iterator[Member]:
        for info in self._archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            regular = not kind or kind == stat.S_IFREG
            yield Member(info.filename, info.is_dir(), regular, info.file_size, info.CRC, info, _refused(info))

    def _read(self, place: zipfile.ZipInfo, size: int, limit: int) -> bytes:
        with self._archive.open(place) as file:
            return file.read(limit + 1)


def _refused(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & 0x1:
        return "encrypted"
    if info.file_size > base.RATIO_FROM and info.file_size > base.MAX_RATIO * info.compress_size:
        return f"too large: unpacks to more than {base.MAX_RATIO} times its size"
    return None
