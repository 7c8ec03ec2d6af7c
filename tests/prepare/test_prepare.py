"""The whole way from a heap of files to a set."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kaogan.data import decode, load_pictures, read_picture
from kaogan.errors import KaoganError, UsageError
from kaogan.prepare import pipeline, shelf
from kaogan.prepare.store import Store
from tests.prepare.compose import compose, encoded, found
from tests.prepare.conftest import contents, read_table, run, whole

Write = Callable[[Path, bytes], None]


def test_a_mixed_heap(tmp_path: Path, faces: list[tuple[str, bytes]]) -> None:
    """The acceptance of the issue, on avatars: copies found, rubbish dropped with reasons, good pictures kept."""
    composed = compose(tmp_path / "mixed", faces, each=8)
    outcome = run(tmp_path / "mixed", tmp_path / "set")
    dropped = read_table(tmp_path / "set" / "dropped.csv")
    shares, lost = found(composed, dropped)
    assert shares["exact"] == shares["re-encoded"] == 1
    assert min(shares.values()) >= 0.9
    assert not lost
    reasons = {row["name"]: (row["step"], row["reason"]) for row in dropped}
    assert len(composed.broken) == 20 and reasons.keys() >= composed.broken.keys()
    assert all(reason for _, reason in reasons.values())
    assert reasons["broken/bomb.png"][1].startswith("too large")
    assert reasons["broken/soft.jpg"][0] == "blurred" and reasons["broken/black.png"][0] == "monochrome"
    assert whole(tmp_path / "set")
    counts = outcome.counts
    assert counts["kept"] == outcome.kept == len([*(tmp_path / "set" / "images").iterdir()])
    assert counts["files"] + counts["skipped"] == sum(n for name, n in counts.items() if name != "files")
    page = (tmp_path / "set" / "report.html").read_text(encoding="utf-8")
    assert "mirrored copy" in page and "data:image/webp;base64," in page and "http" not in page


@pytest.mark.parametrize(("crop", "size"), [("center", 24), ("center", 40), ("none", 24), ("none", None)])
def test_the_pictures_are_those_that_kaogan_reads(tmp_path: Path, write: Write, crop: str, size: int | None) -> None:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    picture = small.resize((120, 90), Image.Resampling.BICUBIC)
    turned = picture.getexif()
    turned[0x0112] = 6
    for name, data in {
        "a.png": encoded(picture, "PNG"),
        "b.png": encoded(picture.rotate(180).convert("P"), "PNG"),
        "c.jpg": encoded(picture.resize((240, 180)).point(lambda v: 255 - v), "JPEG", exif=turned, quality=97),
    }.items():
        write(tmp_path / "in" / name, data)
    run(tmp_path / "in", tmp_path / "set", picture={"crop": crop, "size": size, "format": "png", "sharpness": 0})
    rows = read_table(tmp_path / "set" / "origins.csv")
    assert len(rows) == 3
    for row in rows:
        source, got = tmp_path / "in" / row["name"], np.asarray(Image.open(tmp_path / "set" / row["file"]))
        if crop == "center":
            np.testing.assert_array_equal(got, decode(source, size or 0))
        elif size is None:
            np.testing.assert_array_equal(got, np.asarray(read_picture(source)))
        else:
            wide = read_picture(source).width > read_picture(source).height
            assert got.shape[:2] == ((24, 32) if wide else (32, 24))


def test_untouched_pictures_keep_their_bytes(tmp_path: Path, faces: list[tuple[str, bytes]], write: Write) -> None:
    for name, data in faces[:6]:
        write(tmp_path / "in" / name, data)
    run(tmp_path / "in", tmp_path / "set", picture={"size": 40})
    assert sorted(contents(tmp_path / "set" / "images").values()) == sorted(data for _, data in faces[:6])


@pytest.mark.parametrize("workers", [2, 3])
def test_the_result_does_not_depend_on_the_workers(heap: Path, tmp_path: Path, workers: int) -> None:
    run(heap, tmp_path / "1" / "set")
    run(heap, tmp_path / "n" / "set", workers=workers)
    one, many = contents(tmp_path / "1" / "set"), contents(tmp_path / "n" / "set")
    assert one == many and len(one) == 24 + 5


def test_labels_stay_with_their_pictures(heap: Path, tmp_path: Path) -> None:
    run(heap, tmp_path / "set")
    before = {row["file"]: (row["hair"], row["eyes"]) for row in read_table(heap / "labels.csv")}
    names = {row["file"].removeprefix("images/"): row["name"] for row in read_table(tmp_path / "set" / "origins.csv")}
    rows = read_table(tmp_path / "set" / "labels.csv")
    assert {names[row["file"]]: (row["hair"], row["eyes"]) for row in rows} == before
    told = json.loads((tmp_path / "set" / "dataset.json").read_text(encoding="utf-8"))
    assert [a["name"] for a in told["attributes"]] == ["hair", "eyes"]
    assert len(told["attributes"][0]["values"]) == 12 and sum(told["attributes"][0]["priors"]) == pytest.approx(1)
    assert told["counts"]["kept"] == 24 and told["settings"]["picture"]["size"] == 32
    loaded = load_pictures(tmp_path / "set", image_size=32, attributes=["auto"])
    assert loaded.schema.names == ("hair", "eyes") and (loaded.labels >= 0).all() and not loaded.skipped


def test_several_sets_in_one_heap(tmp_path: Path, faces: list[tuple[str, bytes]], write: Write) -> None:
    """Each labels.csv speaks of what lies below it; boxes of the source are not carried along."""
    for at, folder in enumerate(("one", "two/deep", "bare")):
        write(tmp_path / "in" / folder / "a.png", faces[2 * at + 1][1])
    write(tmp_path / "in" / "one" / "labels.csv", b"file,hair,x,hair_conf\na.png,pink,17,0.9\n")
    write(tmp_path / "in" / "two" / "deep" / "labels.csv", b"file,year\na.png,2007\n")
    write(tmp_path / "in" / "bare" / "labels.csv", b"nothing to see\n")
    outcome = run(tmp_path / "in", tmp_path / "set")
    names = {row["file"].removeprefix("images/"): row["name"] for row in read_table(tmp_path / "set" / "origins.csv")}
    rows = {names[row["file"]]: row for row in read_table(tmp_path / "set" / "labels.csv")}
    assert [*rows["one/a.png"]] == ["file", "hair", "year", "hair_conf"]
    assert rows["one/a.png"]["hair"] == "pink" and rows["one/a.png"]["hair_conf"] == "0.9"
    assert rows["two/deep/a.png"]["year"] == "2007" and rows["bare/a.png"]["year"] == ""
    assert any("no column named 'file'" in note for note in outcome.notes)


def test_a_labelled_copy_is_kept_before_a_larger_one(
    tmp_path: Path, faces: list[tuple[str, bytes]], write: Write
) -> None:
    picture = Image.open(io.BytesIO(faces[1][1]))
    write(tmp_path / "in" / "set" / "small.png", faces[1][1])
    write(tmp_path / "in" / "large.png", encoded(picture.resize((160, 160), Image.Resampling.BICUBIC), "PNG"))
    run(tmp_path / "in", tmp_path / "bare")
    assert read_table(tmp_path / "bare" / "origins.csv")[0]["name"] == "large.png"
    write(tmp_path / "in" / "set" / "labels.csv", b"file,hair\nsmall.png,red\n")
    run(tmp_path / "in", tmp_path / "set")
    assert read_table(tmp_path / "set" / "origins.csv")[0]["name"] == "set/small.png"


def test_folders_as_classes_when_asked(tmp_path: Path, faces: list[tuple[str, bytes]], write: Write) -> None:
    for name, data in faces[:4]:
        write(tmp_path / "in" / name, data)
    outcome = run(tmp_path / "in", tmp_path / "set")
    assert "class" not in read_table(tmp_path / "set" / "labels.csv")[0]
    assert any("--classes" in note for note in outcome.notes)
    run(tmp_path / "in", tmp_path / "set", tags={"classes": True})
    assert {row["class"] for row in read_table(tmp_path / "set" / "labels.csv")} == {"a", "b"}


# Again


def worked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files each batch held."""
    sizes: list[int] = []
    real = pipeline.examine_many
    monkeypatch.setattr(pipeline, "examine_many", lambda *a: (sizes.append(len(a[-1])), real(*a))[1])
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
    home, name = (shelf, "write_all") if step == "add" else (os, "replace")
    with monkeypatch.context() as patch:
        patch.setattr(home, name, fail(getattr(home, name)))
        if step == "move_out":
            patch.setattr(Store, "move_in", lambda *_: None)
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
            patch.setattr(shelf, "write_all", stopping(shelf.write_all, half=True))
            patch.setattr(os, "replace", stopping(os.replace, half=False))
            with pytest.raises(KeyboardInterrupt):
                run(heap, out)
        rows = {row["file"] for row in read_table(out / "labels.csv")} if (out / "labels.csv").exists() else set()
        assert rows <= {path.name for path in (out / "images").glob("*")}
        run(heap, out)
        assert contents(out, hidden=False) == wanted


# Paths


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
    ]:
        with pytest.raises(UsageError, match=message) as caught:
            run(sources, out)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "set").exists() and (tmp_path / "full" / "mine.txt").exists()


def test_nothing_left(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "in" / "a.png", encoded(Image.new("RGB", (64, 64)), "PNG"))
    write(tmp_path / "in" / "b.png", b"no")
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


def test_a_damaged_journal_is_told(heap: Path, tmp_path: Path) -> None:
    run(heap, tmp_path / "set")
    journal = tmp_path / "set" / ".prepare" / "journal.sqlite"
    for path in journal.parent.glob("journal.sqlite*"):
        path.write_bytes(b"nothing" * 1000)
    with pytest.raises(KaoganError, match=r"is damaged .*; delete it"):
        run(heap, tmp_path / "set")
    for path in journal.parent.glob("journal.sqlite*"):
        path.unlink()
    run(heap, tmp_path / "set")
    assert whole(tmp_path / "set")


# Forms


def test_parts(heap: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    run(heap, out, split={"train": 0.6, "test": 0.4})
    train, test = (read_table(out / part / "labels.csv") for part in ("train", "test"))
    assert len(train) + len(test) == 24 and train and test and not (out / "labels.csv").exists()
    for part, rows in (("train", train), ("test", test)):
        assert {row["file"] for row in rows} == {path.name for path in (out / part / "images").iterdir()}
    assert load_pictures(out / "train", image_size=32, attributes=["auto"]).schema.names == ("hair", "eyes")
    assert "train" in (out / "report.html").read_text() and "test" in (out / "dataset.json").read_text()
    run(heap, out)
    assert whole(out) and not (out / "train").exists()


def test_look_alikes_go_to_the_same_part(tmp_path: Path, faces: list[tuple[str, bytes]], write: Write) -> None:
    for index, (_, data) in enumerate(faces[:30]):
        write(tmp_path / "in" / f"{index}-a.png", data)
        picture = Image.open(io.BytesIO(data)).convert("RGB")
        write(tmp_path / "in" / f"{index}-b.jpg", encoded(picture, "JPEG", quality=70))
    run(tmp_path / "in", tmp_path / "set", twins={"enabled": False}, split={"a": 0.5, "b": 0.5})
    parts: dict[str, set[str]] = {}
    for row in read_table(tmp_path / "set" / "origins.csv"):
        parts.setdefault(row["name"].split("-")[0], set()).add(row["file"].split("/")[0])
    assert len(parts) == 30 and all(len(each) == 1 for each in parts.values())
    assert len(set.union(*parts.values())) == 2


def test_exact_copies_stay_when_copies_are_wanted(tmp_path: Path, faces: list[tuple[str, bytes]], write: Write) -> None:
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path / "in" / name, faces[1][1])
    assert run(tmp_path / "in", tmp_path / "set", twins={"enabled": False}).kept == 3 and whole(tmp_path / "set")
    assert run(tmp_path / "in", tmp_path / "set").kept == 1 and whole(tmp_path / "set")
    assert run(tmp_path / "in", tmp_path / "set", twins={"enabled": False}).kept == 3 and whole(tmp_path / "set")


def test_blurred_companions(heap: Path, tmp_path: Path) -> None:
    from kaogan.data import blur_edges

    out = tmp_path / "set"
    run(heap, out, blur={"enabled": True, "t1": 100, "t2": 200})
    for path in (out / "images").iterdir():
        soft = np.asarray(Image.open(tmp_path / "set-blurred" / "images" / f"{path.stem}.png"))
        plain = np.asarray(Image.open(path).convert("RGB"))
        np.testing.assert_array_equal(soft, blur_edges(plain[None], low=100, high=200)[0])
        assert (soft != plain).any()
    run(heap, out, blur={"enabled": True, "ratio": 0.5})
    assert 4 < len(list((tmp_path / "set-blurred" / "images").iterdir())) < 20
    run(heap, out)
    assert not (tmp_path / "set-blurred").exists()


def test_hugging_face(heap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.rmtree(heap / "a" / "none", ignore_errors=True)
    run(heap, tmp_path / "set", labels="huggingface", split={"train": 0.6, "test": 0.4})
    loaded = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "test"} and sum(map(len, loaded.values())) == 24
    for part in loaded:
        rows = read_table(tmp_path / "set" / part / "labels.csv")
        assert sorted(loaded[part]["hair"]) == sorted(row["hair"] for row in rows)
        assert loaded[part][0]["image"].size == (32, 32)
    run(heap, tmp_path / "whole", labels="huggingface")
    one = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "whole"), cache_dir=str(tmp_path / "cache"))
    assert len(one["train"]) == 24 and set(one["train"].column_names) == {"image", "hair", "eyes"}


def test_a_training_takes_it_as_it_is(heap: Path, tmp_path: Path) -> None:
    from kaogan import api
    from tests.small import small

    run(heap, tmp_path / "set")
    recipe = small("acgan", **{"training.images": 16, "attributes.names": ["auto"]})
    pictures = api.load_data(recipe, tmp_path / "set")
    assert pictures.schema.names == ("hair", "eyes") and len(pictures) == 24
    outcome = api.run(recipe, pictures, tmp_path / "run")
    assert outcome.finished and api.load(outcome.path).attributes.names == ("hair", "eyes")
