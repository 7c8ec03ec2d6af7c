"""Uploads: what is taken, where it goes, and what is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from kaogan.core.errors import UsageError
from kaogan.generate.explore import LatentPoint, point, with_styles
from kaogan.studio import tasks, uploads
from kaogan.studio.params import FaceId
from kaogan.studio.uploads import Uploads
from tests.generate.conftest import tiny_model
from tests.generate.explore.conftest import STYLED, styled_model
from tests.studio.conftest import Served


def png(value: int = 0, side: int = 16) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (value, 100, 200)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def served(tmp_path):
    served = Served(tmp_path)
    yield served
    served.close()


def test_a_picture_is_called_by_its_digest(served, tmp_path):
    for content, count in ((png(1), 1), (png(1), 1), (png(2), 2)):
        status, found, _ = served.call("/api/pictures", content, set="mine", file="../../a b/c.PNG")
        assert status == 200 and found == {"files": count}
    names = [path.name for path in (tmp_path / "pictures/mine").iterdir()]
    assert len(names) == 2 and all(len(name) == 28 and name.endswith(".png") for name in names)
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


@pytest.mark.parametrize(
    ("query", "content", "message"),
    [
        ({"set": "../mine", "file": "a.png"}, b"x", "the name of a set is made of letters"),
        ({"set": "mine/..", "file": "a.png"}, b"x", "the name of a set is made of letters"),
        ({"set": ".hidden", "file": "a.png"}, b"x", "the name of a set is made of letters"),
        ({"set": "mine", "file": "a.html"}, b"x", "neither a picture"),
        ({"set": "mine", "file": "a"}, b"x", "neither a picture"),
        ({"set": "mine", "file": "a.png"}, b"", "this file is empty"),
        ({"set": "mine", "file": "a.png"}, b"x" * 2000, "at most 0 MB"),
    ],
)
def test_what_is_not_taken_leaves_nothing(served, tmp_path, monkeypatch, query, content, message):
    monkeypatch.setattr(uploads, "MAX_PICTURE_BYTES", 1000)
    status, found, _ = served.call("/api/pictures", content, method="POST", **query)
    assert status == 400 and message in found["error"], found
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_only_the_studios_own_machine_may_upload(tmp_path):
    served = Served(tmp_path, local=False)
    for path, query in (("/api/pictures", {"set": "a", "file": "a.png"}), ("/api/project", {"model": "kao"})):
        status, found, _ = served.call(path, png(), **query)
        assert status == 400 and "only from the studio's own machine" in found["error"]
    served.close()
    assert not list(tmp_path.iterdir())


def test_what_is_no_picture_is_no_face(served):
    for content in (b"<html>", png()[:40]):
        status, found, _ = served.call("/api/project", content, model="kao")
        assert status == 400 and "no picture of a face" in found["error"]


@pytest.mark.parametrize("make", [tiny_model, styled_model])
def test_a_found_face_is_kept_and_belongs_to_its_model(make, tmp_path):
    model, kept = make(), Uploads(tmp_path, True)
    there = point(model, 3, 1)
    name = kept.add_face(model, there)
    again = kept.face(model, name)
    assert torch.equal(again.z, there.z) and (again.w is None) == (there.w is None)
    assert str(FaceId.parse(f"{name}.0~30.2")) == f"{name}.0~30.2" and FaceId.parse(f"{name}.0").found == name
    foreign = kept.add_face(model, LatentPoint(torch.zeros(5)))
    with pytest.raises(UsageError, match="another model"):
        kept.face(model, foreign)
    for unknown in ("u" + "0" * 16, "../secret", ""):
        with pytest.raises(UsageError, match="no longer kept"):
            kept.face(model, unknown)


def test_styles_of_a_found_face_belong_to_its_layers(tmp_path):
    model, larger, kept = styled_model(), tiny_model(settings=STYLED, size=32), Uploads(tmp_path, True)
    names = [kept.add_face(each, with_styles(each, [point(each)])[0]) for each in (model, larger)]
    assert kept.face(model, names[0]).w is not None
    for other, name in ((model, names[1]), (larger, names[0]), (tiny_model(), names[0])):
        with pytest.raises(UsageError, match="another model"):
            kept.face(other, name)


def test_a_small_picture_is_a_face_already():
    picture = np.zeros((30, 40, 3), np.uint8)
    assert tasks.cut_face(picture, 16) is picture or (tasks.cut_face(picture, 16) == picture).all()
    assert tasks.cut_face(np.zeros((90, 90, 3), np.uint8), 16).shape == (90, 90, 3)  # nobody is on it


def test_a_preparation_needs_pictures(served):
    for name, message in (("none", "drop some first"), ("../etc", "letters, digits")):
        status, found, _ = served.call("/api/jobs", {"job": "preparation", "set": name})
        assert status == 400 and message in found["error"]
