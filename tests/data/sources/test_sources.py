"""What files a folder or a zip is found to hold, and what is passed over."""

from __future__ import annotations

import os
import stat
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaogan.core.errors import KaoganError, UsageError
from kaogan.data.sources import base
from kaogan.data.sources.base import natural
from tests.data.conftest import COLOURS, encoded, load, picture, write_folder, write_zip

PNG = encoded(picture())
Make = Callable[[Mapping[str, bytes]], Path]


def reasons(loaded: object) -> dict[str, str]:
    return dict(loaded.skipped)  # type: ignore[attr-defined]


def test_names_in_natural_order(make_set: Make) -> None:
    names = ["b/2.png", "b/10.png", "b/1.png", "a.png", "B2.PNG", "b2.png"]
    loaded = load(make_set(dict.fromkeys(names, PNG)))
    assert loaded.names == ("a.png", "B2.PNG", "b2.png", "b/1.png", "b/2.png", "b/10.png")
    assert loaded.images.shape == (6, 8, 8, 3) and len(loaded) == 6


@given(st.lists(st.text("aB0129²٣_.", max_size=8), unique=True))
def test_natural_is_a_total_order(names: list[str]) -> None:
    ordered = sorted(names, key=natural)
    names.reverse()
    assert sorted(names, key=natural) == ordered


def test_names_in_any_script_and_long_ones(make_set: Make) -> None:
    names = ["顔/日本語 の.png", "лицо.png", "وجه.png", "😀 '\"$;%.png", "é.png", "e\u0301.png", "x" * 200 + ".png"]
    loaded = load(make_set(dict.fromkeys(names, PNG)))
    assert set(loaded.names) == set(names) and not loaded.skipped


@pytest.mark.skipif(sys.platform != "linux", reason="only here may a name be bytes that are not text")
def test_a_name_that_is_not_text(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"a.png": PNG})
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\n.png")).write_bytes(PNG)
    loaded = load(folder)
    assert sorted(loaded.names) == ["a.png", "\ufffd\ufffd.png"]
    "".join(loaded.names).encode()  # can be printed
    assert load(folder).names == loaded.names  # and remembered


def test_hidden_and_system_files_are_not_there(make_set: Make) -> None:
    hidden = [".a.png", ".git/a.png", "__MACOSX/._a.png", "x/__MACOSX/a.png", ".ipynb_checkpoints/a.png", "Thumbs.db"]
    loaded = load(make_set(dict.fromkeys([*hidden, "a.png"], PNG)))
    assert loaded.names == ("a.png",) and loaded.skipped == ()


def test_a_prepared_sets_own_files_are_not_told_of(make_set: Make) -> None:
    beside = ["dataset.json", "report.html", "origins.csv", "dropped.csv", "metadata.csv", ".prepare/journal.sqlite"]
    loaded = load(make_set(dict.fromkeys(beside, b"x") | {"images/a.png": PNG}))
    assert loaded.names == ("images/a.png",) and loaded.skipped == ()


def test_skipped_with_reasons(make_set: Make) -> None:
    files = {
        "good.png": PNG,
        "zero.jpg": b"",
        "text.png": b"hello",
        "cut.png": encoded(picture(size=(90, 90)))[:-60],
        "notes.txt": b"hello",
        "no_suffix": PNG,
    }
    loaded = load(make_set(files))
    assert loaded.names == ("good.png", "no_suffix")
    found = reasons(loaded)
    assert found["zero.jpg"] == "zero bytes"
    assert "known kind" in found["text.png"]
    assert "truncated" in found["cut.png"]
    assert found["notes.txt"] == "not a picture file (.txt)"
    assert len(found) == 4


def test_pictures_stay_with_their_names_around_a_broken_one(make_set: Make) -> None:
    files = {f"{c}.png": encoded(picture(v)) for c, v in COLOURS.items()} | {"c.png": b"broken", "h.png": b""}
    loaded = load(make_set(files))
    for name, image in zip(loaded.names, loaded.images, strict=True):
        assert tuple(image[0, 0]) == COLOURS[name[:-4]]


@pytest.mark.parametrize("files", [{}, {"a.txt": b"x"}, {"a.png": b"x", "b.png": b""}, {".a.png": PNG}])
def test_nothing_left(make_set: Make, files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(KaoganError, match=r"holds no picture") as caught:
        load(make_set(files))
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("none", None, "no such folder"),
        ("none/deeper", None, "no such folder"),
        ("face.png", PNG, "is one picture; give the folder"),
        ("labels.csv", b"file\n", "is the list of labels"),
        ("a.txt", b"x", "neither a folder nor a zip or tar"),
        ("a.7z", b"x", "neither a zip nor a tar; unpack it"),
        ("a\0b", None, "not a path"),
    ],
)
def test_not_a_set(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=message) as caught:
        load(tmp_path / name)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


@pytest.mark.parametrize("empty", ["", "  "])
def test_no_name(empty: str) -> None:
    with pytest.raises(UsageError, match="no folder, zip or tar"):
        load(empty)


def test_the_folder_one_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_folder(tmp_path, {"a.png": PNG}))
    assert load(".").names == ("a.png",)


@pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04 and no more"])
def test_a_broken_zip(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(KaoganError, match="is not a whole zip") as caught:
        load(tmp_path / "a.zip")
    assert caught.value.exit_code == 1


def test_a_cut_zip(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.png": PNG, "b.png": PNG})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(KaoganError, match="is not a whole zip"):
        load(path)


def test_a_zip_of_any_name(tmp_path: Path) -> None:
    assert len(load(write_zip(tmp_path / "pictures", {"a.png": PNG}))) == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"a.png": PNG})
    folder.chmod(0)
    try:
        with pytest.raises(KaoganError, match="no permission"):
            load(folder)
    finally:
        folder.chmod(0o700)


def test_unreadable_folder_for_root_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "set", {"a.png": PNG, "sub/b.png": PNG})
    real = os.scandir

    def refuse(what: Path) -> object:
        if Path(what).name == refused:
            raise PermissionError(13, "Permission denied")
        return real(what)

    monkeypatch.setattr(os, "scandir", refuse)
    refused = "sub"
    assert reasons(load(folder)) == {"sub/": "folder cannot be read: Permission denied"}
    refused = "set"
    with pytest.raises(KaoganError, match="no permission"):
        load(folder)


def test_links(tmp_path: Path) -> None:
    outside = write_folder(tmp_path / "outside", {"secret.png": PNG})
    folder = write_folder(tmp_path / "set", {"a.png": PNG, "sub/b.png": PNG})
    (folder / "inside.png").symlink_to(folder / "a.png")
    (folder / "out.png").symlink_to(outside / "secret.png")
    (folder / "out").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere.png").symlink_to("none.png")
    (folder / "self.png").symlink_to("self.png")
    (folder / "labels.csv").symlink_to(outside / "secret.png")
    loaded = load(folder)
    assert loaded.names == ("a.png", "inside.png", "sub/b.png")
    found = reasons(loaded)
    for name in ("out.png", "out", "labels.csv"):
        assert found[name] == "link that leads out of the folder"
    assert found["loop"] == "link to a folder"
    assert "cannot be opened" in found["nowhere.png"] and "cannot be opened" in found["self.png"]


def test_the_set_itself_may_be_a_link(tmp_path: Path) -> None:
    write_folder(tmp_path / "set", {"a.png": PNG})
    (tmp_path / "link").symlink_to(tmp_path / "set")
    assert load(tmp_path / "link").names == ("a.png",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"a.png": PNG})
    os.mkfifo(folder / "pipe.png")
    assert reasons(load(folder)) == {"pipe.png": "not a regular file"}
    with pytest.raises(UsageError):
        load(folder / "pipe.png")


def test_a_deep_folder(tmp_path: Path) -> None:
    assert len(load(write_folder(tmp_path / "set", {"d/" * 300 + "a.png": PNG}))) == 1


@pytest.mark.parametrize(
    "name", ["../up.png", "a/../../up.png", "/etc/abs.png", "C:/abs.png", "c:\\abs.png", "..\\up.png", "a/..\\b.png"]
)
def test_zip_paths_that_climb_out(tmp_path: Path, name: str) -> None:
    before = {p for p in tmp_path.parent.rglob("*") if "cache" not in str(p)}
    path = write_zip(tmp_path / "a.zip", {name: PNG, "good.png": PNG})
    loaded = load(path)
    assert loaded.names == ("good.png",)
    assert list(reasons(loaded).values()) == ["its path leads out of the zip"]
    assert {p for p in tmp_path.parent.rglob("*") if "cache" not in str(p)} - before == {path}
    assert not Path("/etc/abs.png").exists()


def test_zip_members_that_are_no_files(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("folder.png/", "")
        archive.writestr("./good.png", PNG)
        secret = zipfile.ZipInfo("secret.png")
        archive.writestr(secret, PNG)
    data = path.read_bytes()
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(b"secret.png"))  # its entry in the central directory
    path.write_bytes(data[: at + 8] + bytes([data[at + 8] | 1]) + data[at + 9 :])  # says: encrypted
    loaded = load(path)
    assert loaded.names == ("good.png",)
    assert reasons(loaded) == {"link.png": "not a regular file", "secret.png": "encrypted"}


def test_zip_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MAX_BYTES", 300_000)
    monkeypatch.setattr(base, "RATIO_FROM", 100_000)
    large = np.random.default_rng(0).bytes(400_000)
    path = write_zip(tmp_path / "a.zip", {"flat.bmp": bytes(200_000), "large.png": large, "good.png": PNG})
    loaded = load(path)
    assert loaded.names == ("good.png",)
    assert "times its size" in reasons(loaded)["flat.bmp"]
    assert "unpacks to more than" in reasons(loaded)["large.png"]


def test_a_zip_that_lies_about_a_size(tmp_path: Path) -> None:
    """A member that unpacks to more than it declares is cut there, and its checksum tells."""
    path = write_zip(tmp_path / "a.zip", {"liar.png": bytes(5_000_000), "good.png": PNG})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    loaded = load(path)
    assert loaded.names == ("good.png",) and "cannot be unpacked" in reasons(loaded)["liar.png"]


def test_a_damaged_member_costs_only_itself(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"bad.png": encoded(picture(size=(50, 50))), "good.png": PNG})
    data = bytearray(path.read_bytes())
    data[60:70] = b"\xff" * 10
    path.write_bytes(bytes(data))
    loaded = load(path)
    assert loaded.names == ("good.png",) and "bad.png" in reasons(loaded)


def test_too_many_files(make_set: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MAX_FILES", 3)
    with pytest.raises(KaoganError, match="more than 3 files"):
        load(make_set(dict.fromkeys([f"{i}.png" for i in range(5)], PNG)))


def test_two_members_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", PNG)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.png", encoded(picture((0, 0, 255))))
    loaded = load(path)
    assert loaded.names == ("a.png", "a.png")
    assert [tuple(i[0, 0]) for i in loaded.images] == [(200, 30, 40), (0, 0, 255)]


def test_too_large_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "MAX_BYTES", 1000)
    loaded = load(write_folder(tmp_path / "set", {"a.png": PNG, "b.png": bytes(2000)}))
    assert "too large" in reasons(loaded)["b.png"]
