"""Faces lie where the compositions say, and training is a function of its seed and clock."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from kaogan.aux_models.face_detector.boxes import Face
from kaogan.core.errors import KaoganError
from kaogan.core.rng import numpy_generator
from tools.face_detector.dataset import drawn_portraits, is_held_out, load_portraits, pack, unpack
from tools.face_detector.evaluate import canvases, match_faces
from tools.face_detector.synthesize import Portrait, lesson, place
from tools.face_detector.train import Settings, batch, train

TINY = Settings(images=8, second=8, sought=4, batch=4, size=64, widths=(4, 4, 8, 8), save_every=4)


def dotted(size: int = 80) -> Portrait:
    """Grey with a red dot for the left eye, a green one for the right and a blue one in the middle of the face."""
    picture = np.full((size, size, 3), 90, np.uint8)
    eyes = np.array([30.0, 32.0, 50.0, 34.0]) * size / 80
    middle = (41.0 * size / 80, 44.0 * size / 80)
    for (x, y), channel in zip([eyes[:2], eyes[2:], middle], range(3), strict=True):
        picture[round(y) - 2 : round(y) + 2, round(x) - 2 : round(x) + 2] = np.eye(3, dtype=np.uint8)[channel] * 255
    return Portrait(picture, middle, 60.0 * size / 80, eyes)


def spot(page: np.ndarray, channel: int) -> np.ndarray:
    """x, y of the dot of that colour."""
    others = [c for c in range(3) if c != channel]
    strength = (page[..., channel].astype(float) - page[..., others].max(-1)).clip(0)
    y, x = np.mgrid[: page.shape[0], : page.shape[1]] + 0.5
    return np.array([(x * strength).sum(), (y * strength).sum()]) / strength.sum()


@pytest.mark.parametrize("mask", ["hard", "soft", "oval"])
@pytest.mark.parametrize(("side", "angle", "flip"), [(60, 0, False), (40, 0, True), (90, 20, False), (50, -25, True)])
def test_a_pasted_face_lies_where_it_should(mask: str, side: float, angle: float, flip: bool) -> None:
    page = np.full((200, 220, 3), 90, np.uint8)
    eyes = place(page, dotted(), (100.0, 90.0), side, angle, flip, mask, 0.3)
    left, right = (1, 0) if flip else (0, 1)  # the mirror swaps the colours
    assert np.allclose(spot(page, 2), (100, 90), atol=1.2)
    assert np.allclose(spot(page, left), eyes[:2], atol=1.2)
    assert np.allclose(spot(page, right), eyes[2:], atol=1.2)
    assert eyes[0] < eyes[2]
    assert np.linalg.norm(eyes[2:] - eyes[:2]) == pytest.approx(np.hypot(20, 2) * side / 60, rel=0.03)


def test_pasting_over_the_edge_changes_only_what_is_there() -> None:
    page = np.zeros((50, 50, 3), np.uint8)
    place(page, dotted(), (-200.0, 20.0), 40, 0, False, "hard")
    assert not page.any()
    place(page, dotted(), (0.0, 0.0), 40, 0, False, "hard")
    assert page[:15, :15].all(-1).any() and not page[40:, 40:].any()


def test_lessons_are_reproducible_and_mirrored() -> None:
    portraits = [dotted(), dotted(120)]
    one, other = (lesson(numpy_generator(3, "faces", 7), portraits, 96) for _ in range(2))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(one, other, strict=True))
    (picture, marks), (mirror, mirrored) = one
    assert picture.shape == mirror.shape == (96, 96, 3)
    assert np.allclose(mirrored.centres, [96, 0] + marks.centres * [-1, 1])
    assert np.allclose(mirrored.eyes, np.array([96, 0, 96, 0]) + marks.eyes[:, [2, 3, 0, 1]] * [-1, 1, -1, 1])
    many = [lesson(numpy_generator(3, "faces", i), portraits, 96)[0][1] for i in range(80)]
    assert {len(m.sides) for m in many} >= {0, 1, 2, 3}


def test_canvases_hold_what_they_say() -> None:
    pages = list(canvases(numpy_generator(0, "test"), [dotted(96)], 40))
    boxes = np.concatenate([known for _, known in pages])
    assert any(not len(known) for _, known in pages) and any(len(known) > 1 for _, known in pages)
    assert boxes[:, 2].min() >= 48 and 300 < boxes[:, 2].max() <= 800
    for page, known in pages:
        for x, y, wide, high in known:
            assert (
                x + wide / 2 > 0 and y + high / 2 > 0 and x + wide / 2 < page.shape[1] and y + high / 2 < page.shape[0]
            )


def test_judging_by_hand() -> None:
    known = np.array([[0, 0, 10, 10], [100, 100, 20, 20]], float)
    found = [Face(1, 1, 10, 10, 0.9), Face(0, 0, 10, 10, 0.8), Face(50, 50, 10, 10, 0.3), Face(100, 104, 20, 20, 0.4)]
    result = match_faces(found, known)
    assert result.known == 2 and result.right.tolist() == [True, False, True, False]
    assert result.at(0.5) == (0.5, 0.5) and result.at(0.35) == (1.0, pytest.approx(2 / 3)) and result.at(0.95) == (0, 1)
    assert (result + match_faces([], known)).at(0.1) == (0.5, 0.5)
    assert match_faces([], np.zeros((0, 4))).at(0.5) == (0, 1)


def test_the_table_keeps_half_a_percent() -> None:
    shares = np.array([[0.5, 0.61, 0.94, -0.05, 0.2, 1.1, np.nan]])
    assert np.allclose(unpack(pack(shares)), shares, atol=0.0026, equal_nan=True)


def test_boxes_come_from_labels_and_the_split_from_the_bytes(tmp_path: Path) -> None:
    gen = numpy_generator(0, "test")
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "x", "y", "w", "h"))
        for i in range(30):
            Image.fromarray(gen.integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / f"{i}.png")
            rows.writerow((f"{i}.png", 10, 5, 20 + i / 10, 20))
    held = sum(is_held_out((tmp_path / f"{i}.png").read_bytes()) for i in range(30))
    assert 0 < held < 15
    training, rest = load_portraits([tmp_path]), load_portraits([tmp_path], held_out=True)
    assert (len(training), len(rest)) == (30 - held, held)
    assert np.allclose(sorted(p.side for p in training + rest), [20 + i / 20 for i in range(30)])
    assert training[0].centre[1] == pytest.approx(15) and np.isnan(training[0].eyes).all()
    (tmp_path / "labels.csv").unlink()
    with pytest.raises(KaoganError, match="no face is known"):
        load_portraits([tmp_path])


def test_a_killed_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    portraits = drawn_portraits(3, 48)
    whole = load_file(train(portraits, tmp_path / "whole", TINY))

    where = 4

    def stop(done: int, total: int, stats: dict[str, float]) -> None:
        if done == where:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(portraits, tmp_path / "halves", TINY, stop)
    where = 12  # in the second course
    with pytest.raises(KeyboardInterrupt):
        train(portraits, tmp_path / "halves", TINY, stop)
    halves = load_file(train(portraits, tmp_path / "halves", TINY))
    assert all(np.array_equal(whole[name], halves[name]) for name in whole)
    other = Settings(**{**TINY.__dict__, "seed": 1})
    with pytest.raises(KaoganError, match="other settings \\(seed\\)"):
        train(portraits, tmp_path / "whole", other)
    images, wanted, weights = batch(portraits, TINY, 0)
    assert images.shape == (4, 3, 64, 64) and wanted.shape == (4, 8, 8, 8) and weights.shape == (4, 3, 8, 8)
