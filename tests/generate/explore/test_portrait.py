"""Living portraits: loops without a seam, the same for the same seed, and numbers out of range."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kaogan.core.errors import UsageError
from kaogan.generate.explore import point
from kaogan.generate.explore.motions import Motions
from kaogan.generate.explore.portrait import amounts, likeness, portrait
from kaogan.generate.model import Model

ONE, TWO = (0.3 * torch.eye(6)[0],), (0.4 * torch.eye(6)[1], 0.4 * torch.eye(6)[2])


@pytest.fixture
def motions(plain: Model) -> Motions:
    offsets = {"turn": TWO, "blink": ONE, "breath": ONE, "mouth": ONE, "height": TWO}
    return Motions(point(plain, 7), offsets, dict.fromkeys(offsets, 1.0), 0.5, keep_length=True)


@pytest.mark.parametrize(("seconds", "fps", "seed"), [(6.0, 24, 0), (2.0, 24, 1), (1.0, 8, 2), (9.7, 30, 3)])
def test_the_step_from_the_last_frame_to_the_first_is_like_the_others(
    motions: Motions, seconds: float, fps: float, seed: int
) -> None:
    frames = torch.stack([each.z for each in portrait(motions, seconds, fps, seed=seed)])
    assert len(frames) == round(seconds * fps)
    steps = (frames.roll(-1, 0) - frames).norm(dim=1)
    assert float(steps[-1]) <= float(steps[:-1].max()) * 1.001 and float(steps[-1]) > 0
    # Two turns of the loop, shifted by half of one: the seam is in the middle and is no corner there either.
    bends = (frames.roll(-1, 0) - 2 * frames + frames.roll(1, 0)).norm(dim=1)
    assert float(bends[[0, -1]].max()) <= float(bends[1:-1].max()) * 1.001


def test_curves_stay_in_range_and_all_happen() -> None:
    for seed in range(5):
        curves = amounts(144, 6.0, seed)
        for name, curve in curves.items():
            least = -1.0 if name in ("turn", "height") else 0.0
            assert curve.min() >= least and curve.max() <= 1, name
        assert curves["blink"].max() > 0.9 and curves["mouth"].max() > 0.9 and np.ptp(curves["turn"]) > 1
        assert np.median(curves["blink"]) == 0, "eyes are open most of the time"
    slow = amounts(8, 4.0, 0)
    assert slow["blink"].max() > 0.3, "a blink is seen at two frames a second"


def test_a_seed_gives_the_same_loop_and_another_one_another(motions: Motions) -> None:
    one, same, other = (portrait(motions, 1, 8, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a.z, b.z) for a, b in zip(one, same, strict=True))
    assert not all(torch.equal(a.z, b.z) for a, b in zip(one, other, strict=True))


def test_span_scales_the_motion(motions: Motions) -> None:
    near, far = (
        max(float((each.z - motions.point.z).norm()) for each in portrait(motions, 2, 12, span=span))
        for span in (0.5, 1.0)
    )
    assert 0 < near < far


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"seconds": 0.5}, "1 to 120 seconds, not 0.5"),
        ({"seconds": float("nan")}, "seconds"),
        ({"fps": 1}, "between 2 and 240"),
        ({"fps": 500}, "between 2 and 240"),
        ({"span": 0}, "span"),
        ({"span": 2.5}, "span"),
    ],
)
def test_numbers_out_of_range(motions: Motions, words: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        portrait(motions, **words)


def test_likeness_is_zero_of_the_face_itself(plain: Model) -> None:
    face = point(plain, 7)
    still, moved = likeness(plain, face, [face, face]), likeness(plain, face, [face, point(plain, 8)])
    assert still.furthest == pytest.approx(0, abs=1e-6)
    assert 1e-6 < moved.furthest < 2
    assert still.between == moved.between > 0
