"""Names in archives that are not UTF-8."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from kaogan.core import zip_entries
from kaogan.core.errors import KaoganError
from kaogan.core.foreign_weights import read_weight_file
from kaogan.core.torch_file import read_torch_file
from kaogan.data.sources import open_source
from kaogan.data.sources.names import decode_names
from tests.data.conftest import encoded, load, picture

JAPANESE = ["絵/顔一.png", "絵/ソ表.png", "絵/能.png"]  # ソ, 表 and 能 end with the byte of a backslash
CHINESE = ["图片/蓝发.png", "图片/粉红.png", "图片/人物.png"]
PNG = encoded(picture())


def zip_of(path: Path, names: list[str], encoding: str, labels: bytes = b"") -> Path:
    """As a program of another country packs it: bytes of its own encoding, without the mark of UTF-8."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, _ in enumerate(names):
            archive.writestr(f"{number}".ljust(len(names[number].encode(encoding)), "_"), PNG)
        if labels:
            archive.writestr("labels.csv", labels)
    data = path.read_bytes()
    for number, name in enumerate(names):
        raw = name.encode(encoding)
        data = data.replace(f"{number}".ljust(len(raw), "_").encode(), raw)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("names", "encoding", "title"),
    [
        (JAPANESE, "cp932", "Shift-JIS"),
        (CHINESE, "gbk", "GBK"),
        (JAPANESE, "utf-8", "UTF-8"),
        (CHINESE, "utf-8", "UTF-8"),
    ],
)
def test_zips(tmp_path: Path, names: list[str], encoding: str, title: str) -> None:
    labels = "file,hair\n" + "".join(f"{name},{'pink' if n else 'blue'}\n" for n, name in enumerate(names))
    loaded = load(zip_of(tmp_path / "a.zip", names, encoding, labels.encode()), attributes=["auto"])
    assert sorted(loaded.names) == sorted(names) and loaded.schema.names == ("hair",)
    assert loaded.labels[loaded.names.index(names[0]), 0] != loaded.labels[loaded.names.index(names[1]), 0]
    assert any(note.endswith(f"read as {title}") for note in loaded.notes)


def test_a_tar(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", encoding="cp932", format=tarfile.GNU_FORMAT) as archive:
        for name in JAPANESE:
            member = tarfile.TarInfo(name)
            member.size = len(PNG)
            archive.addfile(member, io.BytesIO(PNG))
    assert sorted(load(tmp_path / "a.tar").names) == sorted(JAPANESE)


def test_bytes_that_are_no_text_stay_what_they_were(tmp_path: Path) -> None:
    assert decode_names([b"\xff\xfe\xff"]) is None
    assert decode_names([]) is None or decode_names([b"abc"]) == (["abc"], "UTF-8")


@pytest.mark.parametrize("lie", [False, True])
def test_a_zip_of_very_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: bool) -> None:
    """Refused by the bytes of its directory, before zipfile fills the memory."""
    monkeypatch.setattr(zip_entries, "MAX_ENTRIES", 20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(50):
            archive.writestr(f"{number}.png", PNG)
    if lie:
        data = bytearray((tmp_path / "a.zip").read_bytes())
        at = data.rindex(b"PK\x05\x06")
        data[at + 8 : at + 12] = struct.pack("<HH", 1, 1)
        (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(KaoganError, match="holds 50 files, more than the 20"), open_source(tmp_path / "a.zip"):
        pass
    for read in (read_weight_file, read_torch_file):
        with pytest.raises(KaoganError, match="holds 50 files"):
            read(tmp_path / "a.zip")
    monkeypatch.setattr(zip_entries, "MAX_ENTRIES", 50)
    with open_source(tmp_path / "a.zip") as source:
        assert len(source.listing.entries) == 50
