"""Measures of a face, on the detector's known face and on drawn eyes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kaogan.aux_models.face_detector.detector import known_face
from kaogan.core.images import to_float
from kaogan.generate.explore.face_measures import NAMES, FaceMeasures, eye_profile


@pytest.fixture(scope="module")
def measures() -> FaceMeasures:
    return FaceMeasures()


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """The known face with as much round it as a face set has."""
    picture, face = known_face()
    x, y, side = int(face.x - 0.1 * face.width), int(face.y - 0.2 * face.height), int(1.2 * face.width)
    return np.pad(picture, ((side, side), (side, side), (0, 0)), "edge")[
        y + side : y + 2 * side, x + side : x + 2 * side
    ]


def test_the_measures_follow_the_face(measures: FaceMeasures, picture: np.ndarray) -> None:
    image = to_float(picture[None])
    before = measures(image)
    assert tuple(before) == NAMES and float(measures.score(image)) > 0.5
    by = 6 / image.shape[-1]
    right, down = measures(torch.roll(image, 6, 3)), measures(torch.roll(image, 6, 2))
    assert float(right["eyes_x"] - before["eyes_x"]) == pytest.approx(by, rel=0.35)
    assert float(down["eyes_y"] - before["eyes_y"]) == pytest.approx(by, rel=0.35)
    mirrored = measures(image.flip(3))
    assert float(mirrored["eyes_x"]) == pytest.approx(1 - float(before["eyes_x"]), abs=0.03)
    assert float(mirrored["tilt"]) == pytest.approx(-float(before["tilt"]), abs=0.1)
    turned = F.grid_sample(image, F.affine_grid(_rotation(0.15), list(image.shape), False), align_corners=False)
    assert float(measures(turned)["tilt"] - before["tilt"]) == pytest.approx(0.15, abs=0.07)


def _rotation(angle: float) -> torch.Tensor:
    """Of the content by ``angle`` radians, clockwise as seen."""
    c, s = float(np.cos(angle)), float(np.sin(angle))
    return torch.tensor([[[c, s, 0.0], [-s, c, 0.0]]])


def test_areas_are_where_the_eyes_are(measures: FaceMeasures, picture: np.ndarray) -> None:
    image = to_float(picture[None])
    eyes, mouth = measures.area(image, "eyes"), measures.area(image, "mouth")
    size = image.shape[-1]
    row = int(float(measures(image)["eyes_y"]) * size)
    assert float(eyes[row].max()) > 0.9 and float(mouth[row].max()) < 0.1
    assert int(mouth.amax(1).argmax()) > row and float(eyes.mean()) < 0.3


def test_slopes_reach_the_picture(measures: FaceMeasures, picture: np.ndarray) -> None:
    image = to_float(picture[None])[:, :1].requires_grad_()  # grey pictures, too
    (slopes,) = torch.autograd.grad(sum(value.sum() for value in measures(image).values()), image)
    assert torch.isfinite(slopes).all() and slopes.any()


def test_opening_counts_rows_and_not_contrast() -> None:
    def eye(rows: int) -> torch.Tensor:
        drawn = torch.full((1, 24, 24), 0.01)
        drawn[:, 12 - rows // 2 : 12 + rows - rows // 2] = 1.0
        return drawn

    patches = torch.cat([eye(2), eye(8), eye(14), 0.3 * eye(14)])
    contrast, opening = eye_profile(patches)
    assert opening[0] < opening[1] < opening[2]
    assert float(opening[3]) == pytest.approx(float(opening[2])), "a paler eye is not a closed one"
    assert float(contrast[3]) == pytest.approx(0.3 * float(contrast[2]))
    assert float(opening[0]) == pytest.approx(2 / 24, rel=0.4) and float(opening[1]) == pytest.approx(8 / 24, rel=0.3)
