"""Overlap, suppression and cutting out, against slow twins and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kaogan.aux_models.face_detector.boxes import MAX_INVENTED, Face, crop, non_max_suppression, overlaps
from kaogan.core.errors import UsageError


def square(x: float, y: float, side: float, score: float = 0.5) -> Face:
    return Face(x, y, side, side, score)


def slow_overlap(one: Face, other: Face) -> tuple[float, float]:
    """(shared / union, shared / smaller area), counted on a grid of whole pixels."""

    def cells(f: Face) -> set[tuple[int, int]]:
        return {(i, j) for i in range(int(f.x), int(f.x + f.width)) for j in range(int(f.y), int(f.y + f.height))}

    a, b = cells(one), cells(other)
    return len(a & b) / len(a | b), len(a & b) / min(len(a), len(b))


def slow_suppression(faces: list[Face], overlap: float, nested: float) -> list[Face]:
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: -f.score):
        shares = [slow_overlap(face, other) for other in kept]
        if all(union <= overlap and inner <= nested for union, inner in shares):
            kept.append(face)
    return kept


whole_faces = st.builds(
    square, st.integers(0, 20), st.integers(0, 20), st.integers(1, 15), st.integers(1, 10**6).map(lambda n: n / 10**6)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(whole_faces, max_size=8, unique_by=lambda f: f.score))
def test_suppression_is_its_slow_twin(faces: list[Face]) -> None:
    # Thresholds that no ratio of small whole numbers hits, so that rounding decides nothing.
    assert non_max_suppression(faces, 0.3501, 0.7001) == slow_suppression(faces, 0.3501, 0.7001)


def test_overlap_by_hand() -> None:
    boxes = np.array([[5, 0, 10, 10], [0, 0, 10, 10], [10, 0, 5, 5], [2, 2, 5, 5]], float)
    assert overlaps(np.array([0, 0, 10, 10.0]), boxes).tolist() == pytest.approx([50 / 150, 1, 0, 0.25])


def test_a_box_inside_a_better_one_goes_and_neighbours_stay() -> None:
    whole, eye, neighbour = square(0, 0, 100, 0.9), square(20, 30, 25, 0.8), square(90, 0, 100, 0.7)
    assert non_max_suppression([neighbour, eye, whole]) == [whole, neighbour]


def test_crop_inside_is_the_exact_window() -> None:
    picture = np.arange(100 * 120 * 3, dtype=np.int64).reshape(100, 120, 3).astype(np.uint8)
    cut = crop(picture, square(40, 30, 20), margin=0.25)
    assert np.array_equal(cut, picture[25:55, 35:65])


def test_crop_at_the_edge_moves_then_shrinks_then_repeats() -> None:
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[:, 0] = 200
    moved = crop(picture, square(5, 40, 20), margin=0.5)  # wants x from -5; may move by 5
    assert moved.shape == (40, 40, 3) and (moved[:, 0] == 200).all() and (moved[:, 1] == 0).all()
    beyond = crop(picture, square(-10, 40, 40), margin=0.0)  # a quarter of the face is outside: kept whole
    assert beyond.shape == (40, 40, 3) and (beyond[:, :11] == 200).all() and (beyond[:, 11:] == 0).all()
    shrunk = crop(picture, square(0, 40, 20), margin=1.0)
    invented = int((shrunk[:, :, 0] == 200).all(0).sum()) - 1
    assert shrunk.shape[0] == shrunk.shape[1] and 20 <= shrunk.shape[0] < 60
    assert invented <= math.ceil(MAX_INVENTED * shrunk.shape[0])


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0.5, 120),
    st.floats(0, 2),
    st.sampled_from([(), (1,), (3,)]),
)
def test_crop_is_square_holds_the_face_and_keeps_channels(height, width, u, v, side, margin, channels) -> None:
    picture = np.zeros((height, width, *channels), np.uint8)
    face = square(u * width - side / 2, v * height - side / 2, side)
    cut = crop(picture, face, margin)
    assert cut.dtype == np.uint8 and cut.shape[0] == cut.shape[1] and cut.shape[2:] == channels
    assert round(side) - 1 <= cut.shape[0] <= round(side * (1 + 2 * margin)) + 1
    free = crop(picture, face, margin, square=False)
    assert 1 <= free.shape[0] <= height and 1 <= free.shape[1] <= width


def test_upright_levels_the_eyes() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[118:123, 78:83, 0] = 255  # left eye, low
    picture[78:83, 118:123, 1] = 255  # right eye, high: the line rises by 45 degrees
    face = Face(50, 50, 100, 100, 0.9, ((80.0, 120.0), (120.0, 80.0)))
    assert face.tilt == pytest.approx(-45)
    cut = crop(picture, face, margin=0.2, upright=True)
    left, right = (np.argwhere(cut[..., c] > 100).mean(0) for c in (0, 1))
    assert cut.shape == (140, 140, 3)
    assert left[0] == pytest.approx(right[0], abs=1) and right[1] - left[1] == pytest.approx(40 * 2**0.5, abs=1.5)
    plain = crop(picture, face, margin=0.2)
    assert np.argwhere(plain[..., 0] > 100).mean(0)[0] != pytest.approx(
        np.argwhere(plain[..., 1] > 100).mean(0)[0], abs=9
    )


@pytest.mark.parametrize(
    ("face", "margin", "words"),
    [(square(0, 0, 10), -0.1, "margin"), (square(0, 0, 10), 5, "margin"), (square(500, 0, 10), 0.1, "not inside"),
     (square(0, 0, 0), 0.1, "not inside"), (square(0, 0, 10), float("nan"), "margin")],
)  # fmt: skip
def test_crop_refuses(face: Face, margin: float, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        crop(np.zeros((20, 20, 3), np.uint8), face, margin)
