"""A zip of pictures."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from kaogan.core.atomic_io import explain
from kaogan.core.zip_entries import check_entries
from kaogan.data.sources import base
from kaogan.data.sources.archive import Archive, Member
from kaogan.data.sources.names import decode_names


def is_zip(path: Path) -> bool:
    """By its first bytes, or its name."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise explain(error, path) from error
    return start[:2] == b"PK" or path.suffix.lower() == ".zip"


_UTF8 = 0x800  # the flag of a name in UTF-8


class Zip(Archive):
    kind = "zip"

    def _open(self, path: Path) -> None:
        check_entries(
            path,
            "unpack it, and give the folder; 'kaogan prepare FOLDER SET --shards 10000' makes shards of it, the better "
            "form for sets of this size",
        )
        self._archive = zipfile.ZipFile(path)

    def _close(self) -> None:
        self._archive.close()

    def _members(self) -> Iterator[Member]:
        names = self._names()
        for info in self._archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            regular = not kind or kind == stat.S_IFREG
            yield Member(
                names.get(info.header_offset, info.filename),
                info.is_dir(),
                regular,
                info.file_size,
                info.CRC,
                info,
                _refused(info),
            )

    def _names(self) -> dict[int, str]:
        """The names that are not marked as UTF-8, which zipfile takes for those of DOS, by the place of the member."""
        unmarked = [i for i in self._archive.infolist() if not i.flag_bits & _UTF8 and not i.orig_filename.isascii()]
        try:
            found = decode_names([info.orig_filename.encode("cp437") for info in unmarked]) if unmarked else None
        except UnicodeEncodeError:
            found = None
        if found is None:
            return {}
        names, encoding = found
        self.listing.notes.append(f"names in {self.path} read as {encoding}")
        return {info.header_offset: name for info, name in zip(unmarked, names, strict=True)}

    def _read(self, place: zipfile.ZipInfo, size: int, limit: int) -> bytes:
        with self._archive.open(place) as file:
            return file.read(limit + 1)


def _refused(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & 0x1:
        return "encrypted"
    if info.file_size > base.RATIO_FROM and info.file_size > base.MAX_RATIO * info.compress_size:
        return f"too large: unpacks to more than {base.MAX_RATIO} times its size"
    return None
