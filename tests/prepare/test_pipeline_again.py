"""The same command again: after changes, a full disk, Ctrl-C."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from kaogan.core.errors import KaoganError
from kaogan.prepare import image_store, pipeline, process_image
from kaogan.prepare.image_store import ImageStore
from kaogan.prepare.settings import make_settings
from tests.prepare.compose import encoded
from tests.prepare.conftest import contents, read_table, run, whole

Write = Callable[[Path, bytes], None]


def worked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files each batch held."""
    sizes: list[int] = []
    real = pipeline.process_files
    monkeypatch.setattr(pipeline, "process_files", lambda *a, **k: (sizes.append(len(a[-1])), real(*a, **k))[1])
    return sizes


def test_only_what_is_new_or_changed(
    heap: Path, tmp_path: Path, faces: list[tuple[str, bytes]], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = worked(monkeypatch)
    out = tmp_path / "set"
    assert run(heap, out).worked_on == 24 and sum(sizes) == 24
    before = contents(out)
    again = run(heap, out)
    assert (again.worked_on, again.kept, sum(sizes)) == (0, 24, 24) and contents(out) == before
    write(heap / "new.jpg", faces[30][1])
    (heap / "a" / "0000.jpg").write_bytes(faces[32][1])
    (heap / "b" / "0001.png").unlink()
    assert run(heap, out).worked_on == 2 and sum(sizes) == 26 and whole(out)
    run(heap, tmp_path / "fresh" / "set")
    assert contents(out) == contents(tmp_path / "fresh" / "set")
    # What concerns only the tables does not touch the pictures, what concerns the pictures touches all.
    assert run(heap, out, licence="CC0").worked_on == 0 and "CC0" in (out / "dataset.json").read_text()
    assert run(heap, out, picture={"size": 24}).worked_on == 24
    assert all(Image.open(path).size == (24, 24) for path in (out / "images").iterdir())


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), OSError(errno.EIO, "hiccup"), "cv2"],
)
def test_want_of_memory_drops_no_picture_for_ever(
    heap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | str
) -> None:
    if error == "cv2":
        error = cv2.error("Insufficient memory")
        error.code = cv2.Error.STS_NO_MEM
    real, calls = process_image.measure, []

    def measure(pixels: np.ndarray) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise error  # type: ignore[misc]
        return real(pixels)

    monkeypatch.setattr(process_image, "measure", measure)
    first = run(heap, tmp_path / "set")
    assert (first.counts["unread"], first.counts["broken"], first.kept) == (1, 0, 23)
    again = run(heap, tmp_path / "set")
    assert (again.counts["unread"], again.kept, again.worked_on) == (0, 24, 1)


def test_want_of_memory_in_a_batch_of_faces_costs_one_picture(
    tmp_path: Path, faces: list[tuple[str, bytes]], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(_: Any, picture: Image.Image) -> list[Any]:
        if picture.width == 60:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return []

    def bug(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(process_image.finding, "find", find)
    monkeypatch.setattr(process_image.finding, "find_many", lambda s, pictures: [find(s, p) for p in pictures])
    wish = make_settings({"picture": {"size": 40, "smallest": 8}}).picture
    files = [encoded(Image.new("RGB", (side, 50), "red"), "PNG") for side in (50, 60, 70)]
    found = [process_image.process_file(wish, file) for file in files]
    assert [each.found[0].step for each in found] == ["no face", "unread", "no face"]  # type: ignore[union-attr]
    assert process_image._process_all(wish, files) == found
    with pytest.raises(RuntimeError, match="a bug"):
        monkeypatch.setattr(process_image, "_faces", bug)
        process_image.process_file(wish, files[0])


def test_a_copy_steps_in_for_what_is_gone(tmp_path: Path, faces: list[tuple[str, bytes]], write: Write) -> None:
    picture = Image.open(io.BytesIO(faces[1][1]))
    write(tmp_path / "in" / "a.png", encoded(picture.resize((120, 120), Image.Resampling.BICUBIC), "PNG"))
    write(tmp_path / "in" / "b.png", faces[1][1])
    assert run(tmp_path / "in", tmp_path / "set").counts["near copy"] == 1
    (tmp_path / "in" / "a.png").unlink()
    assert run(tmp_path / "in", tmp_path / "set").worked_on == 0
    assert [row["name"] for row in read_table(tmp_path / "set" / "origins.csv")] == ["b.png"] and whole(
        tmp_path / "set"
    )


def test_what_the_user_took_away_comes_back(heap: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    run(heap, out)
    before = contents(out)
    pictures = sorted((out / "images").iterdir())
    pictures[0].unlink()
    pictures[1].write_bytes(b"half")
    (out / "report.html").unlink()
    assert run(heap, out).worked_on == 2
    assert contents(out) == before


def test_the_users_own_files_in_the_set_stay(heap: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    run(heap, out)
    (out / "images" / "mine.txt").write_text("keep me")
    run(heap, out, picture={"size": 24})
    assert (out / "images" / "mine.txt").read_text() == "keep me"


@pytest.mark.parametrize("step", ["add", "move_in", "move_out"])
def test_a_full_disk(heap: Path, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "set"
    run(heap, out)
    left = iter(range(5))

    def fail(real: Callable[..., object]) -> Callable[..., object]:
        def write(first: Any, second: Any) -> object:
            if next(left, None) is None:
                if step == "add":
                    real(first, second[: len(second) // 2])
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(first, second)

        return write

    (heap / "a" / "0000.jpg").unlink()
    home, name = (image_store, "write_all") if step == "add" else (os, "replace")
    with monkeypatch.context() as patch:
        patch.setattr(home, name, fail(getattr(home, name)))
        if step == "move_out":
            patch.setattr(ImageStore, "move_in", lambda *_: None)
        with pytest.raises(KaoganError, match="the disk is full") as caught:
            run(heap, out, picture={"size": 24 if step != "move_out" else 32}, blur={"enabled": step == "move_out"})
    assert "\n" not in str(caught.value)
    rows = {row["file"] for row in read_table(out / "labels.csv")}
    assert rows <= {path.name for path in (out / "images").iterdir()}
    for path in (out / "images").iterdir():
        if not path.name.startswith("."):
            Image.open(path).load()
    run(heap, out, picture={"size": 24})
    run(heap, tmp_path / "fresh" / "set", picture={"size": 24})
    assert contents(out) == contents(tmp_path / "fresh" / "set")


def test_interrupted_anywhere_then_the_same_again(heap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at each of the places where something is written: no half picture, no row without its picture."""
    run(heap, tmp_path / "fresh" / "set")
    wanted = contents(tmp_path / "fresh" / "set")
    monkeypatch.setattr(pipeline, "_FILES", 5)
    for stop_at in (0, 7, 24, 30, 47, 48, 49, 50, 51):  # 24 into the store, 24 into the set, then the tables
        out = tmp_path / str(stop_at) / "set"
        left = iter(range(stop_at))

        def stopping(real: Callable[..., object], half: bool, left: Any = left) -> Callable[..., object]:
            def stop(first: Any, second: Any) -> object:
                if next(left, None) is None:
                    if half:
                        real(first, second[: len(second) // 2])
                    raise KeyboardInterrupt
                return real(first, second)

            return stop

        with monkeypatch.context() as patch:
            patch.setattr(image_store, "write_all", stopping(image_store.write_all, half=True))
            patch.setattr(os, "replace", stopping(os.replace, half=False))
            with pytest.raises(KeyboardInterrupt):
                run(heap, out)
        rows = {row["file"] for row in read_table(out / "labels.csv")} if (out / "labels.csv").exists() else set()
        assert rows <= {path.name for path in (out / "images").glob("*")}
        run(heap, out)
        assert contents(out, hidden=False) == wanted
