"""Tars are read like zips: the same pictures, the same refusals, nothing unpacked to a name of the archive's choice."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from kaogan.core.errors import KaoganError
from kaogan.data.sources import base, open_source
from tests.data.conftest import COLOURS, encoded, load, picture, write_folder

PNG = encoded(picture())
FORMS = {"set.tar": "w", "set.tar.gz": "w:gz", "set.tgz": "w:gz", "set.tar.bz2": "w:bz2", "set.tar.xz": "w:xz"}


def write_tar(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", FORMS)
def test_the_same_as_the_folder(tmp_path: Path, name: str) -> None:
    files = {f"{c}/{n}.png": encoded(picture(v)) for n, (c, v) in enumerate(COLOURS.items())} | {"notes.txt": b"x"}
    files["labels.csv"] = "\n".join(["file,c", *(f"{n},{n.split('/')[0]}" for n in files if n != "notes.txt")]).encode()
    packed = load(write_tar(tmp_path / name, files, FORMS[name]), attributes=["auto"])
    plain = load(write_folder(tmp_path / "folder", files), attributes=["auto"])
    assert packed.names == plain.names and packed.skipped == plain.skipped and packed.schema == plain.schema
    np.testing.assert_array_equal(packed.images, plain.images)
    np.testing.assert_array_equal(packed.labels, plain.labels)


def test_long_and_foreign_names(tmp_path: Path) -> None:
    names = ["顔/日本語 の.png", "x" * 300 + ".png", "y/" * 80 + "a.png", "./b.png"]
    loaded = load(write_tar(tmp_path / "set.tar", dict.fromkeys(names, PNG)))
    assert sorted(loaded.names) == sorted(name.removeprefix("./") for name in names)


def test_a_tar_of_any_name(tmp_path: Path) -> None:
    assert len(load(write_tar(tmp_path / "pictures", {"a.png": PNG}))) == 1


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MAX_BYTES", 100_000)
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("../up.png", "/etc/abs.png", "C:\\abs.png", "good.png"):
            member = tarfile.TarInfo(name)
            member.size = len(PNG)
            archive.addfile(member, io.BytesIO(PNG))
        for name, kind in (
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        member = tarfile.TarInfo("large.png")
        member.size = 200_000
        archive.addfile(member, io.BytesIO(bytes(200_000)))
    loaded = load(path)
    assert loaded.names == ("good.png",)
    reasons = dict(loaded.skipped)
    assert reasons["../up.png"] == reasons["/etc/abs.png"] == reasons["C:/abs.png"] == "its path leads out of the tar"
    assert reasons["link.png"] == reasons["hard.png"] == reasons["pipe.png"] == "not a regular file"
    assert "too large" in reasons["large.png"]
    assert {p.name for p in tmp_path.iterdir()} == {"set.tar"}


@pytest.mark.parametrize("cut", [0, 100, 700, 1500])
def test_cut_tars(tmp_path: Path, cut: int) -> None:
    """What is whole is read; nothing goes without a word."""
    path = write_tar(tmp_path / "set.tar", {"a.png": PNG, "b.png": encoded(picture(size=(60, 60)))})
    data = path.read_bytes()
    path.write_bytes(data[:cut])
    try:
        with open_source(path) as source:
            told = [entry.name for entry in source.listing.entries] + [name for name, _ in source.listing.skipped]
        assert cut > 512 and told
    except KaoganError as error:
        assert "is not a whole tar" in str(error) and "\n" not in str(error)


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "set.tar", {"a.png": PNG, "b.png": PNG, "c.png": PNG})
    data = bytearray(path.read_bytes())
    at = data.index(b"b.png")
    data[at : at + 200] = b"\x55" * 200
    path.write_bytes(bytes(data))
    loaded = load(path)
    assert loaded.names == ("a.png",) and "the tar is damaged there" in dict(loaded.skipped)[f"byte {at:,} onwards"]


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
def test_cut_compressed_tars(tmp_path: Path, mode: str) -> None:
    path = write_tar(tmp_path / "set.tar.x", {"a.png": np.random.default_rng(0).bytes(50_000)}, mode)
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(KaoganError, match="is not a whole tar") as caught:
        load(path)
    assert caught.value.exit_code == 1


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "RATIO_FROM", 100_000)
    path = write_tar(tmp_path / "set.tgz", {"a.png": PNG, "flat.bmp": bytes(3_000_000)}, "w:gz")
    with pytest.raises(KaoganError, match="unpacks to more than 200 times its size"):
        load(path)


def test_a_header_that_would_fill_the_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.XHDTYPE, 2**40
    path = tmp_path / "set.tar"
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(KaoganError, match="a header of"):
        load(path)


def test_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MAX_FILES", 3)
    with pytest.raises(KaoganError, match="more than 3 files"):
        load(write_tar(tmp_path / "set.tar", dict.fromkeys([f"{n}.png" for n in range(5)], PNG)))


def test_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(KaoganError, match="holds no pictures"):
        load(write_tar(tmp_path / "set.tar", {}))
