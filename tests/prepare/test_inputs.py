"""Odd sources: paths that cannot be, odd names, what disappears or is damaged meanwhile."""

from __future__ import annotations

import io
import os
import sqlite3
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kaogan.core.errors import KaoganError, UsageError
from kaogan.data import BrokenPicture
from kaogan.prepare import pipeline, process_image
from tests.data.shards.conftest import empty_memory
from tests.prepare.compose import encoded
from tests.prepare.conftest import contents, read_table, run, whole

Write = Callable[[Path, bytes], None]


def test_output_inside_a_source(heap: Path) -> None:
    """It is not taken for pictures, now or later, and neither is the blurred companion."""
    blur = {"enabled": True}
    assert run(heap, heap / "set", blur=blur).kept == 24
    assert run(heap, heap / "set", blur=blur).worked_on == 0
    assert len(list((heap / "set-blurred" / "images").iterdir())) == 24


def test_paths_that_cannot_be(heap: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    for sources, out, message in [
        ([heap], heap, "both a source and the output"),
        ([heap / "a"], heap, "lies in the output"),
        ([heap, heap / "."], tmp_path / "set", "named twice"),
        ([], tmp_path / "set", "name at least one"),
        ([tmp_path / "none"], tmp_path / "set", "no such folder"),
        ([heap], tmp_path / "full", "already holds other files"),
        ([heap], tmp_path / "file", "is a file"),
        (["~nobody-here/pictures"], tmp_path / "set", "not a path: ~nobody-here/pictures"),
        ([heap], Path("~nobody-here/set"), "not a path: ~nobody-here/set"),
        ([heap], Path("s3://bucket/set"), "is an address"),
    ]:
        with pytest.raises(UsageError, match=message) as caught:
            run(sources, out)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "set").exists() and (tmp_path / "full" / "mine.txt").exists()


def test_the_output_may_be_the_folder_that_one_is_in(
    heap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    outcome = run(heap, Path(), blur={"enabled": True})
    assert outcome.kept == 24 and whole(tmp_path / "new")
    assert len(list((tmp_path / "new-blurred" / "images").iterdir())) == 24


def test_a_companion_lies_beside_the_set_and_not_beside_a_link(heap: Path, tmp_path: Path) -> None:
    (heap / "disk" / "real").mkdir(parents=True)
    (heap / "set").symlink_to(heap / "disk" / "real", target_is_directory=True)
    blur = {"enabled": True}
    assert run(heap, heap / "set", blur=blur).kept == 24
    assert len(list((heap / "disk" / "set-blurred" / "images").iterdir())) == 24
    again = run(heap, heap / "set", blur=blur)
    assert (again.kept, again.worked_on) == (24, 0)


def test_nothing_left(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "in" / "a.png", encoded(Image.new("RGB", (64, 64)), "PNG"))
    write(tmp_path / "in" / "b.png", b"no")
    for _ in range(2):  # the second time nothing is new
        with pytest.raises(KaoganError, match=r"no picture is left \(1 broken, 1 monochrome\); see .*report\.html"):
            run(tmp_path / "in", tmp_path / "set")
    assert (tmp_path / "set" / "report.html").exists()
    assert [row["step"] for row in read_table(tmp_path / "set" / "dropped.csv")] == ["monochrome", "broken"]


def test_two_at_once(heap: Path, tmp_path: Path) -> None:
    with pipeline._claimed(tmp_path / "set"), pytest.raises(KaoganError, match="another kaogan prepare is writing"):
        run(heap, tmp_path / "set")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tgz"])
def test_names_of_any_kind(tmp_path: Path, faces: list[tuple[str, bytes]], kind: str) -> None:
    names = ["顔/日本語 の.png", "وجه.png", "A.png", "a.png", "=cmd().png", "x" * 240 + ".png", "line\nbreak.png"]
    if kind != "folder":
        names.append("y" * 300 + ".png")
    files = {name: data for name, (_, data) in zip(names, faces[1::2], strict=False)}
    source = tmp_path / f"in.{kind}"
    if kind == "folder":
        for name, data in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(data)
    elif kind == "zip":
        with zipfile.ZipFile(source, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        with tarfile.open(source, "w:gz" if kind == "tgz" else "w") as archive:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    out = tmp_path / "set"
    assert run(source, out, picture={"size": 40}).kept == len(files) and whole(out)
    assert all(path.name.isascii() and len(path.name) < 40 for path in (out / "images").iterdir())
    told = {
        row["name"].replace("\ufffd", "\n"): (out / row["file"]).read_bytes() for row in read_table(out / "origins.csv")
    }
    assert told == files
    assert run(source, out, picture={"size": 40}).worked_on == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only here may a name be bytes that are not text")
def test_a_name_that_is_not_text(heap: Path, tmp_path: Path, faces: list[tuple[str, bytes]]) -> None:
    Path(os.fsdecode(os.fsencode(heap) + b"/\xff\xfe.png")).write_bytes(faces[41][1])
    assert run(heap, tmp_path / "set").kept == 25
    assert run(heap, tmp_path / "set").worked_on == 0


def test_a_source_that_disappears(heap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_FILES", 6)
    aside = tmp_path / "aside"

    def take_away(done: int, total: int, what: str) -> None:
        if done == 6 and what == "reading pictures":
            heap.rename(aside)

    with pytest.raises(KaoganError, match="heap disappeared while it was read; what is done is kept"):
        run(heap, tmp_path / "set", keywords={"progress": take_away})
    aside.rename(heap)
    assert run(heap, tmp_path / "set").worked_on == 18 and whole(tmp_path / "set")


def test_a_file_that_disappears_is_tried_again(heap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "_FILES", 6)
    victim = heap / "b" / "0023.png"
    data = victim.read_bytes()

    def take_away(done: int, total: int, what: str) -> None:
        victim.unlink(missing_ok=True)

    outcome = run(heap, tmp_path / "set", keywords={"progress": take_away})
    assert outcome.counts["unread"] == 1 and outcome.kept == 23
    victim.write_bytes(data)
    assert run(heap, tmp_path / "set").worked_on == 1 and whole(tmp_path / "set")


def test_a_picture_that_the_memory_had_no_room_for_is_tried_again(
    heap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = process_image.read_with_header
    left = iter(range(23))

    def fail(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise BrokenPicture("too large for the memory", passing=True)
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(process_image, "read_with_header", fail)
        assert run(heap, tmp_path / "set").counts["unread"] == 1
    again = run(heap, tmp_path / "set")
    assert (again.worked_on, again.kept) == (1, 24)


def test_a_damaged_journal_is_told(heap: Path, tmp_path: Path) -> None:
    run(heap, tmp_path / "set")
    manifest = tmp_path / "set" / ".prepare" / "journal.sqlite"
    for path in manifest.parent.glob("journal.sqlite*"):
        path.write_bytes(b"nothing" * 1000)
    with pytest.raises(KaoganError, match=r"journal.sqlite was altered after it was written: .*; delete it"):
        run(heap, tmp_path / "set")
    for path in manifest.parent.glob("journal.sqlite*"):
        path.unlink()
    run(heap, tmp_path / "set")
    assert whole(tmp_path / "set")


def test_the_journal_of_another_version_is_told(heap: Path, tmp_path: Path) -> None:
    run(heap, tmp_path / "set")
    manifest = tmp_path / "set" / ".prepare" / "journal.sqlite"
    with sqlite3.connect(manifest) as database:
        database.execute("PRAGMA user_version=1")
    database.close()
    Path(f"{manifest}.sha256").unlink()
    with pytest.raises(KaoganError, match=r"journal.sqlite was written by another version of kaogan; delete it"):
        run(heap, tmp_path / "set")
    manifest.unlink()
    assert run(heap, tmp_path / "set").kept == 24


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_blurred_pictures_are_no_input(tmp_path: Path, faces: list[tuple[str, bytes]], kind: str) -> None:
    files = {f"data_original/class/{n}.png": data for n, (_, data) in enumerate(faces[1:12:2])}
    files |= {f"data_blur/class/{n}.png": data for n, (_, data) in enumerate(faces[13:18:2])}
    source = tmp_path / "in.zip"
    with zipfile.ZipFile(source, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    if kind == "folder":
        with zipfile.ZipFile(source) as archive:
            archive.extractall(tmp_path / "in")
        source = tmp_path / "in"
    result = run(source, tmp_path / "set", picture={"size": 40})
    assert result.kept == 6 and result.counts["skipped"] == 3
    assert any("3 blurred pictures in data_blur left out" in note for note in result.notes)
    assert len(result.notes) == len(set(result.notes))
    names = [row["name"] for row in read_table(tmp_path / "set" / "origins.csv")]
    assert len(names) == 6 and all(name.startswith("data_original/") for name in names)


def test_a_source_behind_an_address_gives_what_the_folder_gives(heap: Path, tmp_path: Path) -> None:
    memory = empty_memory()
    memory.put(str(heap), "/bucket/heap", recursive=True)
    with pytest.raises(UsageError, match="memory://bucket/heap/ is named twice"):
        run(["memory://bucket/heap", "memory://bucket/heap/"], tmp_path / "far" / "set")
    assert run("memory://bucket/heap", tmp_path / "far" / "set").kept == 24
    run(heap, tmp_path / "near" / "set")
    near, far = contents(tmp_path / "near" / "set"), contents(tmp_path / "far" / "set")
    named = {"origins.csv", "dropped.csv", "dataset.json", "report.html"}  # these name the source
    assert near.keys() == far.keys() and all(near[name] == far[name] for name in near.keys() - named)
    assert run("memory://bucket/heap", tmp_path / "far" / "set").worked_on == 0
