"""From a heap of files to a set."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kaogan.data import decode, load_pictures, read_picture
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


def test_a_jpeg_without_its_end_is_not_passed_on(tmp_path: Path, faces: list[tuple[str, bytes]], write: Write) -> None:
    """kaogan reads it all the same; other programs refuse it."""
    write(tmp_path / "in" / "a.jpg", faces[0][1][:-2])
    run(tmp_path / "in", tmp_path / "set", picture={"size": 40})
    (path,) = (tmp_path / "set" / "images").iterdir()
    assert path.suffix == ".jpg" and Image.open(path).convert("RGB").size == (40, 40)


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
