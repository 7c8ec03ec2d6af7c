"""Synthetic faults of eyes and the training of the eye classifier, on drawn faces."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.torch import save_file

from kaogan.core.errors import KaoganError
from kaogan.core.rng import numpy_generator
from tools.eye_classifier import train
from tools.eye_classifier.faults import FAULTS, Face, sample, sham
from tools.eye_classifier.model import load_eye_classifier


def drawn_face(number: int) -> Face:
    """Skin, hair, and two eyes as dark boxes with light centres."""
    random = numpy_generator(number, "test/face")
    pixels = np.empty((64, 64, 3), np.uint8)
    pixels[:] = (245, 220, 200)
    pixels[:14] = random.integers(0, 200, 3)
    eyes = np.array([[12, 28, 12, 12], [38, 28, 12, 12]], float)
    colour = random.integers(0, 120, 3)
    for x, y, w, h in eyes.astype(int):
        pixels[y : y + h, x : x + w] = colour
        pixels[y + 3 : y + 6, x + 3 : x + 6] = 255
    return Face(pixels, eyes)


FACES = [drawn_face(number) for number in range(8)]


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "smudged"])  # which softens the whole picture
def test_a_fault_changes_an_eye_and_nothing_far_from_it(name: str) -> None:
    for seed in range(6):
        face = FACES[seed]
        found = FAULTS[name](face, FACES[(seed + 1) % 8], numpy_generator(seed, name))
        again = FAULTS[name](face, FACES[(seed + 1) % 8], numpy_generator(seed, name))
        assert (found == again).all() and found.dtype == np.uint8 and found.shape == face.pixels.shape
        changed = np.abs(found.astype(int) - face.pixels).max(2) > 12
        assert changed[24:44].sum() >= 12
        assert not changed[56:].any() and not changed[:10].any()


def test_what_is_called_right_keeps_its_eyes() -> None:
    """Operations of the same kinds elsewhere, or too weak: the eyes keep their places and their darkness."""
    for seed in range(12):
        found = sham(FACES[seed % 8], FACES[0], numpy_generator(seed, "sham")).astype(float)
        for x, y, w, h in FACES[0].eyes.astype(int):
            inside = found[y + 2 : y + h - 2, x + 2 : x + w - 2].mean()
            assert inside < found[y + h + 6 : y + h + 9, x : x + w].mean()


def test_samples_are_half_right() -> None:
    random = numpy_generator(0, "samples")
    answers = [sample(FACES, random)[1] for _ in range(200)]
    assert 70 < sum(answers) < 130


def test_training_learns_and_its_weights_load(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(train, "POOL", 64)
    monkeypatch.setattr(train, "FRESH", 4)
    network = train.train(FACES, minutes=0.02)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors", {"threshold": "0.5"})
    classifier = load_eye_classifier(tmp_path / "weights.safetensors")
    pictures = np.stack([face.pixels for face in FACES])
    assert classifier.scores(pictures) == pytest.approx(train.scores(network, list(pictures)), abs=1e-4)
    assert (classifier.passing(pictures) == (classifier.scores(pictures) >= 0.5)).all()
    assert classifier.scores(pictures[..., :1].repeat(2, 1).repeat(2, 2)).shape == (8,)


def test_area_under_curve_by_hand() -> None:
    assert train.area_under_curve(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1
    assert train.area_under_curve(np.array([1.0, 3.0]), np.array([2.0, 2.0])) == 0.5
    assert train.area_under_curve(np.array([2.0]), np.array([2.0])) == 0.5


def test_other_files_are_refused_in_one_line(tmp_path) -> None:
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(KaoganError, match="is not the weights of an eye classifier"):
        load_eye_classifier(tmp_path / "text")
    with pytest.raises(KaoganError, match="absent"):
        load_eye_classifier(tmp_path / "absent")
