"""Each check drops what it is for and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from kaogan.data.avatars import draw
from kaogan.prepare.quality import measure, rejection_reason, sharpness, too_small_reason
from kaogan.prepare.settings import Picture

DEFAULT = Picture()


def page(level: int = 255) -> np.ndarray:
    return np.full((96, 96, 3), level, np.uint8)


def dot() -> np.ndarray:
    picture = page()
    picture[40:56, 40:56] = 0
    return picture


@pytest.fixture(scope="module")
def faces() -> list[Image.Image]:
    return [Image.fromarray(draw(index, 128, 2)) for index in range(10)]


def test_faces_pass(faces: list[Image.Image]) -> None:
    for face in faces:
        for size in (32, 64, 128):
            small = face.resize((size, size), Image.Resampling.LANCZOS)
            assert rejection_reason(measure(np.asarray(small)), DEFAULT) is None


def test_blurred_faces_do_not(faces: list[Image.Image]) -> None:
    for face in faces:
        blurred = np.asarray(face.filter(ImageFilter.GaussianBlur(6)))
        step, reason = rejection_reason(measure(blurred), DEFAULT) or ("", "")
        assert step == "blurred" and "below 0.06" in reason
        assert rejection_reason(measure(blurred), Picture(sharpness=0)) is None


def test_sharpness_does_not_depend_on_contrast_or_size(faces: list[Image.Image]) -> None:
    for face in faces[:3]:
        value = sharpness(np.asarray(face))
        pale = np.asarray(face.point(lambda level: 100 + level / 4))
        assert sharpness(pale) == pytest.approx(value, rel=0.1)
        twice = np.asarray(face.resize((192, 192), Image.Resampling.BICUBIC))
        assert sharpness(twice) == pytest.approx(value, rel=0.3)


def test_a_soft_poster_is_blurred_although_its_stamp_is_sharp(faces: list[Image.Image]) -> None:
    poster = np.asarray(
        faces[0].resize((64, 64), Image.Resampling.LANCZOS).resize((640, 640), Image.Resampling.BICUBIC)
    )
    assert sharpness(poster) < 0.5 * sharpness(np.asarray(faces[0].resize((64, 64))))


@pytest.mark.parametrize("level", [0, 90, 255])
def test_one_colour(level: int) -> None:
    step, reason = rejection_reason(measure(page(level)), DEFAULT) or ("", "")
    assert step == "monochrome" and "contrast 0.0" in reason


def test_a_dot_on_a_page() -> None:
    found = measure(dot())
    assert found.contrast > DEFAULT.contrast and found.plain == pytest.approx(1 - 256 / 9216, abs=0.01)
    assert rejection_reason(found, DEFAULT) == ("monochrome", "96.5% of one colour, above 95.0%")
    assert rejection_reason(found, Picture(plain=1)) is None


def test_measures_by_hand() -> None:
    halves = page(0)
    halves[:, 48:] = 200
    found = measure(halves)
    assert found.contrast == pytest.approx(100, abs=2) and found.plain == pytest.approx(0.5, abs=0.02)
    assert found.brightness == pytest.approx(100, abs=2)


@pytest.mark.parametrize(
    ("size", "smallest", "limit"), [(64, None, 48), (256, None, 192), (None, None, 48), (64, 10, 10)]
)
def test_tiny(size: int | None, smallest: int | None, limit: int) -> None:
    settings = Picture(size=size, smallest=smallest)
    assert too_small_reason(limit, 5 * limit, settings) is None
    assert too_small_reason(5 * limit, limit - 1, settings) == f"{5 * limit} x {limit - 1} px, short side below {limit}"


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2000)])
def test_odd_shapes_are_measured(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert np.isfinite(list(vars(measure(picture)).values())).all()
