"""The number of entries of a zip, known before zipfile reads them all into memory."""

from __future__ import annotations

from pathlib import Path

from kaogan.core.errors import KaoganError

MAX_ENTRIES = 500_000  # zipfile holds 1.5 KB of each in memory
_ENTRY, _END, _SEARCHED = 46, 22, 65_557  # bytes: of an entry at least, of the end record, where that may be


def check_entries(path: Path, remedy: str) -> None:
    """Raise KaoganError for a zip of more than ``MAX_ENTRIES``."""
    if (count := most_entries(path)) > MAX_ENTRIES:
        raise KaoganError(
            f"{path} holds {count:,} files, more than the {MAX_ENTRIES:,} that are read from a zip; {remedy}"
        )


def most_entries(path: Path) -> int:
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
