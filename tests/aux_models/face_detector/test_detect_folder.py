"""Folders of pictures in, crops and boxes out; the verb."""

from __future__ import annotations

import csv
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kaogan import cli
from kaogan.aux_models.face_detector import Detector, Face, crop, load_detector
from kaogan.aux_models.face_detector.detect_folder import COLUMNS, CropOptions, drawn, find_faces
from kaogan.core.errors import KaoganError, UsageError
from kaogan.data import avatars


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_detector(precision="fp32")


@pytest.fixture(scope="module")
def heap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture with two faces, one without, one broken, a text, and a zip with a face."""
    folder = tmp_path_factory.mktemp("heap")
    page = np.full((160, 330, 3), 240, np.uint8)
    page[20:148, 10:138], page[10:138, 180:308] = avatars.draw(9001, 128), avatars.draw(9002, 128)
    (folder / "sub").mkdir()
    Image.fromarray(page).save(folder / "sub" / "two 顔.png")
    Image.fromarray(page[:40, 140:178]).save(folder / "none.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (folder / "notes.txt").write_text("no picture")
    with zipfile.ZipFile(folder.parent / "more.zip", "w") as archive:
        archive.write(folder / "sub" / "two 顔.png", "inside/a.png")
    return folder


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "boxes.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_crops_rows_and_drawings_agree(detector: Detector, heap: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    summary = find_faces(
        [heap, heap.parent / "more.zip"],
        detector,
        CropOptions(margin=0.1, draw=True),
        tmp_path / "out",
        lambda name, faces: told.append((name.rpartition("/")[2], len(faces))),
    )
    assert sorted(told) == [("a.png", 2), ("none.png", 0), ("two 顔.png", 2)]
    assert (summary.pictures, summary.faces, len(summary.without)) == (3, 4, 1)
    assert sorted(name for name, _ in summary.skipped) == [f"{heap.name}/broken.jpg", "notes.txt"]
    table = rows(tmp_path / "out")
    assert tuple(table[0]) == COLUMNS and len(table) == 4
    picture = np.asarray(Image.open(heap / "sub" / "two 顔.png"))
    for row in table:
        face = Face(*(float(row[name]) for name in ("x", "y", "width", "height", "score")))
        cut = np.asarray(Image.open(tmp_path / "out" / row["crop"]))
        assert cut.shape[0] == cut.shape[1] and abs(cut.shape[0] - crop(picture, face, 0.1).shape[0]) <= 1
    assert {path.name for path in (tmp_path / "out" / "crops").iterdir()} == {Path(row["crop"]).name for row in table}
    assert len(list((tmp_path / "out" / "drawn").iterdir())) == 3


def test_an_interruption_leaves_rows_for_every_crop(detector: Detector, heap: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if rows_written := list((tmp_path / "out" / "crops").glob("*.png")):
            assert len(rows_written) == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_faces([heap, heap.parent / "more.zip"], detector, CropOptions(), tmp_path / "out", progress=stop)
    assert [row["crop"] for row in rows(tmp_path / "out")] == ["crops/000003-1.png", "crops/000003-2.png"]


def test_refusals(detector: Detector, heap: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="already holds"):
        find_faces([heap], detector, CropOptions(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UsageError, match="no such"):
        find_faces([heap / "absent"], detector, CropOptions())
    with pytest.raises(KaoganError, match=r"broken\.jpg"):
        find_faces([heap / "broken.jpg"], detector, CropOptions())


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["absent"], CropOptions(), "no such"),
        (["sub", "absent"], CropOptions(), "no such"),
        (["broken.jpg"], CropOptions(), "no picture could be read"),
        (["none.png", "sub"], CropOptions(margin=9), "margin 9"),
        (["sub"], CropOptions(smallest=4), "at least 8"),
        (["sub"], CropOptions(threshold=7), "between 0 and 1"),
        (["sub"], CropOptions(upright=True, square=False), "square crops only"),
    ],
)
def test_a_mistake_leaves_the_folder_free(
    detector: Detector, heap: Path, tmp_path: Path, names: list[str], options: CropOptions, message: str
) -> None:
    with pytest.raises(KaoganError, match=message):
        find_faces([heap / name for name in names], detector, options, tmp_path / "out")
    assert find_faces([heap / "sub"], detector, CropOptions(), tmp_path / "out").faces == 2
    assert len(rows(tmp_path / "out")) == 2


def test_drawings_mark_the_box_and_leave_the_picture_alone() -> None:
    picture = np.full((100, 100, 3), 255, np.uint8)
    marked = drawn(picture, [Face(20, 30, 50, 50, 0.9, ((35.0, 50.0), (55.0, 50.0)))])
    assert (picture == 255).all()
    assert (marked[55, 20] != 255).any() and (marked[50, 35] != 255).any() and (marked[60, 45] == 255).all()


def test_the_verb(heap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def said(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kaogan", "faces", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), *capsys.readouterr()

    code, out, _ = said(str(heap))
    assert code == 0 and "2 faces in 2 pictures (1 with none)" in out and out.count("two 顔.png") == 2
    assert said("find", str(heap))[1] == out
    code, out, _ = said(str(heap / "sub" / "two 顔.png"), "--out", str(tmp_path / "o"), "--draw", "--threshold", "0.3")
    assert code == 0 and len(rows(tmp_path / "o")) == 2
    for words, message in (
        ((str(heap), "--draw"), "--out DIR"),
        ((str(heap), "--threshold", "7"), "between 0 and 1"),
        ((str(heap), "--weights", str(heap / "notes.txt")), "no weights"),
        ((str(tmp_path / "absent"),), "no such"),
        (("train", str(heap)), "python -m tools.face_detector"),
    ):
        code, _, error = said(*words)
        assert code in (1, 2) and message in error and "Traceback" not in error
