"""A zip of pictures."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError
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
MAX_ENTRIES = 500_000  # zipfile holds 1.5 KB of each in memory
_ENTRY, _END, _SEARCHED = 46, 22, 65_557  # bytes: of an entry at least, of the end record, where that may be


class Zip(Archive):
    kind = "zip"

    def _open(self, path: Path) -> None:
        if (count := _most_entries(path)) > MAX_ENTRIES:
            raise KaoganError(
                f"{path} holds {count:,} files, more than the {MAX_ENTRIES:,} that are read from a zip; unpack it and "
                "give the folder, or pack it as a tar"
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


def _most_entries(path: Path) -> int:
    """How many entries the directory of a zip has, by the bytes of the directory itself; 0 where there is none."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _SEARCHED))
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or at + _END > len(tail):
            return 0
        length = int.from_bytes(tail[at + 12 : at + 16], "little")
        wide = tail.rfind(b"PK\x06\x06")  # zip64
        if length == 0xFFFFFFFF and wide >= 0:
            length = int.from_bytes(tail[wide + 40 : wide + 48], "little")
        if length // (_ENTRY + 1) <= MAX_ENTRIES:
            return length // (_ENTRY + 1)
        end = size - len(tail) + (wide if wide >= 0 else at)
        file.seek(max(0, end - length))
        count = 0
        while file.tell() < end:
            head = file.read(_ENTRY)
            if len(head) < _ENTRY or head[:4] != b"PK\x01\x02":
                return count
            count += 1
            if count > 10 * MAX_ENTRIES:
                return count
            file.seek(sum(int.from_bytes(head[i : i + 2], "little") for i in (28, 30, 32)), 1)
        return count


def _refused(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & 0x1:
        return "encrypted"
    if info.file_size > base.RATIO_FROM and info.file_size > base.MAX_RATIO * info.compress_size:
        return f"too large: unpacks to more than {base.MAX_RATIO} times its size"
    return None
