"""With the real face finder and the real tagger, on the face that the finder tests itself with and on avatars."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kaogan.aux_models.face_detector import Detector, Face, crop
from kaogan.core.errors import KaoganError
from kaogan.data.avatars import EYE_NAMES, HAIR_NAMES, draw, labels_of
from kaogan.prepare import faces as finding
from kaogan.prepare import prepare, process_image
from kaogan.prepare.settings import Tags, make_settings
from kaogan.prepare.tagging import Doubt, merged
from tests.prepare.compose import encoded
from tests.prepare.conftest import read_table, run, whole

Write = Callable[[Path, bytes], None]


def known_face(size: int) -> Image.Image:
    data = files("kaogan.aux_models.face_detector").joinpath("known_face.png").read_bytes()
    return Image.open(io.BytesIO(data)).convert("RGB").resize((size, size), Image.Resampling.LANCZOS)


def canvas(faces: list[tuple[Image.Image, int, int]], width: int = 420, height: int = 300) -> bytes:
    """Faces at known places on a quiet ground."""
    ramp = np.linspace(60, 200, width * height).reshape(height, width, 1).repeat(3, 2).astype(np.uint8)
    picture = Image.fromarray(ramp)
    for face, x, y in faces:
        picture.paste(face, (x, y))
    return encoded(picture, "PNG")


def test_faces_are_cut_out_and_tagged(tmp_path: Path, write: Write) -> None:
    face = known_face(120)
    write(tmp_path / "in" / "one.png", canvas([(face, 40, 60)]))
    write(
        tmp_path / "in" / "two.png",
        canvas([(face, 20, 30), (face.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 260, 90)]),
    )
    write(tmp_path / "in" / "none.png", canvas([]))
    write(tmp_path / "in" / "labels.csv", b"file,hair,eyes\none.png,green,\ntwo.png,red,red\n")
    outcome = prepare(
        [tmp_path / "in"], tmp_path / "set", make_settings({"twins": {"enabled": False}, "picture": {"size": 48}}),
        workers=1,
    )  # fmt: skip
    assert outcome.counts["no face"] == 1 and outcome.kept == 3 and whole(tmp_path / "set")
    origins = read_table(tmp_path / "set" / "origins.csv")
    boxes = {(row["name"], float(row["x"]) > 200): row for row in origins}
    assert boxes.keys() == {("one.png", False), ("two.png", False), ("two.png", True)}
    for (name, right), row in boxes.items():
        x, y, w = float(row["x"]) + float(row["w"]) / 2, float(row["y"]) + float(row["h"]) / 2, float(row["w"])
        wanted = (320, 150) if right else (100, 120) if name == "one.png" else (80, 90)
        assert abs(x - wanted[0]) < 25 and abs(y - wanted[1]) < 25 and 60 < w < 140
        assert Image.open(tmp_path / "set" / row["file"]).size == (48, 48)
    rows = {row["file"]: row for row in read_table(tmp_path / "set" / "labels.csv")}
    labelled = rows[boxes["one.png", False]["file"].removeprefix("images/")]
    assert labelled["hair"] == "green" and labelled["hair_conf"] == "" and 0 < float(labelled["eyes_conf"]) <= 1
    # Of two faces nobody knows whose label it is: both are tagged, and both the same, for they are one face.
    first, second = (rows[boxes["two.png", right]["file"].removeprefix("images/")] for right in (False, True))
    assert float(first["hair_conf"]) > 0 and float(second["hair_conf"]) > 0
    told = json.loads((tmp_path / "set" / "dataset.json").read_text(encoding="utf-8"))
    assert set(told["attributes"][0]) == {"name", "values", "priors"}


@pytest.mark.parametrize("why", ["most", "tiny"])
def test_a_label_is_not_given_to_one_of_two_faces(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Whether the other was not wanted or not good enough."""
    sides = (100, 100) if why == "most" else (100, 9)
    two = [Face(200 * at + 20, 40, side, side, 0.9) for at, side in enumerate(sides)]
    monkeypatch.setattr(finding, "detector", lambda: None)
    monkeypatch.setattr(finding, "find_many", lambda _, pictures: [two[: 2 if p.height > 280 else 1] for p in pictures])
    write(tmp_path / "in" / "two.png", canvas([(known_face(100), 20, 40)]))
    write(tmp_path / "in" / "one.png", canvas([(known_face(100), 20, 40)], height=250))
    write(tmp_path / "in" / "labels.csv", b"file,hair,eyes\none.png,green,red\ntwo.png,red,red\n")
    picture = {"size": 48, "faces": 1 if why == "most" else 20, "smallest": 30}
    outcome = run(tmp_path / "in", tmp_path / "set", picture={"crop": "faces", **picture}, twins={"enabled": False})
    names = {row["file"].removeprefix("images/"): row["name"] for row in read_table(tmp_path / "set" / "origins.csv")}
    hair = {names[row["file"]]: row["hair"] for row in read_table(tmp_path / "set" / "labels.csv")}
    assert hair == {"one.png": "green", "two.png": ""}
    step = "surplus" if why == "most" else "tiny"
    assert outcome.counts[step] == 1 and ("surplus" in outcome.counts) == (why == "most")
    dropped = read_table(tmp_path / "set" / "dropped.csv")
    assert [(row["name"], row["step"]) for row in dropped] == [("two.png", step)]
    assert step in (tmp_path / "set" / "report.html").read_text("utf-8")


def test_the_tagger_is_given_small_pictures(
    tmp_path: Path, faces: list[tuple[str, bytes]], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of whole ones would fill the memory; what is said of them is the same."""
    from kaogan.aux_models.tagger import Tagger, load_tagger

    shapes, predict = [], Tagger.predict
    monkeypatch.setattr(Tagger, "predict", lambda self, p: (shapes.append(p.shape), predict(self, p))[1])
    for at, (_, data) in enumerate(faces[:3]):
        picture = Image.open(io.BytesIO(data)).convert("RGB").resize((300 + 10 * at, 400))
        write(tmp_path / "in" / f"{at}.png", encoded(picture, "PNG"))
    run(
        tmp_path / "in",
        tmp_path / "set",
        picture={"size": None, "sharpness": 0},
        tags={"enabled": True, "confidence": 0},
    )
    assert shapes == [(3, 64, 64, 3)]
    rows = read_table(tmp_path / "set" / "labels.csv")
    for row in rows:
        whole_one = np.asarray(Image.open(tmp_path / "set" / "images" / row["file"]))[None]
        values, confidences = load_tagger().predict(whole_one).best("hair")
        assert row["hair"] == load_tagger().values["hair"][int(values[0])]
        assert abs(float(row["hair_conf"]) - float(confidences[0])) < 1e-3


def test_faces_that_stay_tilted_are_told(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "detector", lambda: None)
    monkeypatch.setattr(finding, "find_many", lambda _, pictures: [[Face(20, 40, 100, 100, 0.9)] for _ in pictures])
    write(tmp_path / "in" / "a.png", canvas([(known_face(100), 20, 40)]))
    for square in (True, False):
        picture = {"crop": "faces", "size": 48, "upright": True, "square": square}
        notes = run(tmp_path / "in", tmp_path / "set", picture=picture).notes
        assert any("turns square crops only" in note for note in notes) == (not square)


def test_avatars_are_tagged_right_and_wrong_labels_doubted(tmp_path: Path, write: Write) -> None:
    lines = ["file,hair,eyes"]
    for index in range(24):
        hair, eyes = labels_of(index, 9)
        write(tmp_path / "in" / f"{index}.png", encoded(Image.fromarray(draw(index, 64, 9)), "PNG"))
        wrong = index < 4
        lines.append(f"{index}.png,{HAIR_NAMES[(hair + 5) % 12] if wrong else HAIR_NAMES[hair]},{EYE_NAMES[eyes]}")
    tree = {"picture": {"crop": "none"}, "twins": {"enabled": False}, "tags": {"check": True}}
    prepare([tmp_path / "in"], tmp_path / "bare", make_settings(tree), workers=1)
    names = {row["file"].removeprefix("images/"): row["name"] for row in read_table(tmp_path / "bare" / "origins.csv")}
    right = 0
    for row in read_table(tmp_path / "bare" / "labels.csv"):
        hair, eyes = labels_of(int(names[row["file"]].split(".")[0]), 9)
        right += (row["hair"] == HAIR_NAMES[hair]) + (row["eyes"] == EYE_NAMES[eyes])
        assert 0.5 <= float(row["hair_conf"]) <= 1 or row["hair"] == ""
    assert right >= 43  # of 48
    write(tmp_path / "in" / "labels.csv", "\n".join(lines).encode())
    prepare([tmp_path / "in"], tmp_path / "set", make_settings(tree), workers=1)
    doubtful = {
        names[row["file"]] for row in read_table(tmp_path / "set" / "doubtful.csv") if row["attribute"] == "hair"
    }
    assert len(doubtful & {f"{index}.png" for index in range(4)}) >= 3 and len(doubtful) <= 5
    assert "Doubtful labels" in (tmp_path / "set" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("x", "y", "wanted"),
    [(100, 100, 0.25), (40, 100, 0.25), (3, 100, 0.15), (0, 0, 0.0), (-9, 50, 0.0), (221, 160, 0.25), (238, 100, 0.1)],
)
def test_nothing_is_invented_around_a_face_at_the_edge(x: int, y: int, wanted: float) -> None:
    """In a picture of 300 x 260 whose every pixel is different, a face of 60 px is cut out of what is there."""
    face = Face(x, y, 60, 60, 0.9)
    margin = finding.fitting_margin(0.25, face, 300, 260)
    assert margin == pytest.approx(min(wanted, margin + 0.001), abs=0.06)
    rows, columns = np.mgrid[0:260, 0:300]
    picture = np.stack([rows % 256, columns % 256, rows // 256 + 2 * (columns // 256)], 2).astype(np.uint8)
    cut = crop(picture, face, margin=margin)
    if x >= 0:
        assert len(np.unique(cut.reshape(-1, 3), axis=0)) == cut.shape[0] * cut.shape[1]
    if wanted == 0.25:
        assert cut.shape[:2] == (90, 90)


def test_labels_and_tags_meet() -> None:
    tags = {"hair": ("pink", 0.93), "eyes": ("red", 0.31)}
    assert merged({}, tags, Tags())[0] == {"hair": "pink", "hair_conf": "0.9300", "eyes": "", "eyes_conf": "0.3100"}
    cells, doubts = merged({"hair": "blue", "hair_conf": "0.5"}, tags, Tags(check=True))
    assert cells["hair"] == "blue" and cells["hair_conf"] == "0.5"
    assert doubts == [Doubt("hair", "blue", "pink", 0.93)]
    assert merged({"hair": "blue"}, tags, Tags())[1] == [] == merged({"hair": "pink"}, tags, Tags(check=True))[1]
    assert merged({"hair": "blue"}, tags, Tags(check=True, doubt=0.95))[1] == []


def test_a_face_finder_that_does_not_work_is_told_at_the_start(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in" / "a.png", canvas([]))

    monkeypatch.setattr(Detector, "find", lambda *_: [])
    finding.detector.cache_clear()
    with pytest.raises(KaoganError, match="does not find a face that it must find"):
        prepare([tmp_path / "in"], tmp_path / "set", workers=1)
    assert not (tmp_path / "set" / "labels.csv").exists()


@pytest.mark.parametrize("square", [True, False])
@pytest.mark.parametrize("upright", [True, False])
def test_a_face_is_cut_from_a_window_as_from_the_whole(square: bool, upright: bool) -> None:
    gen = np.random.default_rng(3)
    pixels = gen.integers(0, 256, (211, 300, 3), dtype=np.uint8)
    wish = make_settings({"picture": {"square": square, "upright": upright}}).picture
    for _ in range(200):
        side = gen.uniform(8, 280)
        x, y = gen.uniform(0, 300) - side / 2, gen.uniform(0, 211) - side / 2
        eyes = ((x + 0.3 * side, y + 0.4 * side), (x + 0.7 * side, y + gen.uniform(0.3, 0.6) * side))
        face = Face(x, y, side, side, 0.9, eyes)
        margin = finding.fitting_margin(0.25, face, 300, 211) if square else 0.25
        whole = crop(pixels, face, margin=margin, square=square, upright=upright)
        got, area = finding.cut(wish, Image.fromarray(pixels), face)
        assert area == whole.shape[0] * whole.shape[1]
        # Turned pictures are interpolated in steps of 1/32 px, counted from the corner.
        assert np.abs(np.asarray(got).astype(int) - whole).max() <= (12 if square and upright else 0)


def test_a_large_picture_is_looked_at_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly the same faces in the same places, cut out nearly the same."""
    page = Image.open(io.BytesIO(canvas([(known_face(900), 300, 200), (known_face(600), 1700, 900)], 2600, 1900)))
    wish = make_settings({"picture": {"size": 48, "smallest": 250}}).picture
    usual = sorted(finding.find(wish, page), key=lambda face: face.x)
    crops = [np.asarray(finding.cut(wish, page, face)[0].resize((48, 48), Image.Resampling.LANCZOS)) for face in usual]
    monkeypatch.setattr(finding, "LARGE", 1000)
    found = sorted(finding.find(wish, page), key=lambda face: face.x)
    assert len(found) == len(usual) == 2
    for face, other, before in zip(found, usual, crops, strict=True):
        assert abs(face.x - other.x) < 20 and abs(face.width - other.width) < 20
        cut, area = finding.cut(wish, page, other)
        assert cut.width < 300 and area == pytest.approx((1.5 * other.width) ** 2, rel=0.05)
        after = np.asarray(cut.resize((48, 48), Image.Resampling.LANCZOS))
        assert np.abs(after.astype(int) - before).mean() < 5  # up to half a reduced pixel aside


def test_faces_are_the_same_alone_and_in_a_batch() -> None:
    wish = make_settings({"picture": {"size": 48}}).picture
    pages = [canvas([(known_face(110), 30 * at, 20 * at)]) for at in range(3)]
    pages = [*pages, canvas([], 100, 100), b"broken", canvas([(known_face(150), 9, 9)], 200, 200), pages[0]]
    together = process_image.process_files(wish, None, pages)
    assert together == [process_image.process_file(wish, page) for page in pages]
    assert [len(each.found) for each in together] == [1] * 7 and together[0] == together[-1]
