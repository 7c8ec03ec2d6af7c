"""Blurred edges against a slow reference that does the steps pixel by pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kaogan.data import blur_edges
from tests.data.conftest import noise

TAPS = np.array([1, 4, 6, 4, 1]) / 16  # OpenCV's kernel of 5 for sigma 0
SIGMA_4 = np.exp(-(np.arange(-2, 3) ** 2) / 32)  # 'source' blurs with sigma 4 from top to bottom


def drawings(channels: int) -> np.ndarray:
    """Shapes with hard outlines on a soft ground, (3, 32, 32, C)."""
    result = []
    for seed in range(3):
        picture = np.asarray(noise((32, 32), seed)).copy() // 3
        cv2.circle(picture, (16, 14), 7 + seed, (250, 240, 230), -1)
        cv2.rectangle(picture, (3, 22), (12, 29), (10, 250, 90), -1)
        result.append(picture if channels == 3 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None])
    return np.stack(result)


def slow_blur(picture: np.ndarray, down: np.ndarray = TAPS) -> np.ndarray:
    """Each pixel the weighted mean of 5 x 5 around it, mirrored at the border without repeating it."""
    size = len(picture)
    padded = np.pad(picture.astype(float), ((2, 2), (2, 2), (0, 0)), mode="reflect")
    out = np.zeros(picture.shape)
    for y in range(size):
        for x in range(size):
            out[y, x] = np.einsum("i,j,ijc->c", down, TAPS, padded[y : y + 5, x : x + 5])
    return out


def slow(picture: np.ndarray, variant: str) -> tuple[np.ndarray, np.ndarray]:
    """(picture with blurred edges, the band that changed: 3 x 3 around each edge pixel)."""
    edges = cv2.Canny(np.ascontiguousarray(picture), 200, 500) > 0
    band = np.zeros_like(edges)
    for y, x in np.argwhere(edges):
        band[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = True
    out = picture.astype(float)
    if variant == "honest":
        out[band] = slow_blur(picture)[band]
    else:
        band = edges
        out[edges] = slow_blur(np.where(edges[..., None], picture, 0), SIGMA_4 / SIGMA_4.sum())[edges]
    return out, band


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("variant", ["honest", "source"])
def test_against_the_slow_reference(channels: int, variant: str) -> None:
    pictures = drawings(channels)
    before = pictures.copy()
    result = blur_edges(pictures, variant=variant)  # type: ignore[arg-type]
    assert result.shape == pictures.shape and result.dtype == np.uint8
    np.testing.assert_array_equal(pictures, before)
    for picture, blurred in zip(pictures, result, strict=True):
        expected, band = slow(picture, variant)
        assert 0.02 < band.mean() < 0.9
        np.testing.assert_allclose(blurred, expected, atol=1.01)
        np.testing.assert_array_equal(blurred[~band], picture[~band])


def test_a_step_by_hand() -> None:
    """A step from 0 to 240 between columns 7 and 8: Canny marks one column, the blur there is known."""
    picture = np.zeros((1, 16, 16, 1), np.uint8)
    picture[:, :, 8:] = 240
    result = blur_edges(picture, dilation=5)[0, 8, :, 0]
    soft = [240 * part / 16 for part in (1, 5, 11, 15)]  # columns 6 to 9
    assert np.abs(result[6:10] - soft).max() <= 1
    assert (result[:6] == 0).all() and (result[10:] == 240).all()


def test_source_is_the_published_call_on_any_picture() -> None:
    """BaMSGAN passes (kernel, 0, 0, BORDER_DEFAULT) by position, which OpenCV reads as sigmaX, dst and sigmaY."""
    for seed in range(8):
        picture = np.asarray(noise((40 + seed, 33), seed)).copy()
        edges = cv2.Canny(picture, 200, 500)
        masked = picture.copy()
        masked[edges == 0] = 0
        expected = picture.copy()
        published = cv2.GaussianBlur(masked, (5, 5), 0, None, cv2.BORDER_DEFAULT)
        expected[edges != 0] = published[edges != 0]
        np.testing.assert_array_equal(blur_edges(picture[None], variant="source")[0], expected)


def test_source_darkens_outlines_and_honest_softens_them() -> None:
    pictures = drawings(3)
    edges = np.stack([cv2.Canny(np.ascontiguousarray(p), 200, 500) > 0 for p in pictures])
    before = pictures[edges].mean()
    assert blur_edges(pictures, variant="source")[edges].mean() < 0.75 * before
    assert abs(blur_edges(pictures)[edges].mean() - before) < 0.35 * before


def test_without_edges_nothing_changes() -> None:
    flat = np.full((2, 16, 16, 3), 99, np.uint8)
    for variant in ("honest", "source"):
        np.testing.assert_array_equal(blur_edges(flat, variant=variant), flat)  # type: ignore[arg-type]
    assert blur_edges(flat[:0]).shape == (0, 16, 16, 3)


def test_a_read_only_memory_map_will_do() -> None:
    pictures = drawings(3)
    pictures.flags.writeable = False
    assert blur_edges(pictures[::2]).flags.writeable


@pytest.mark.parametrize(
    "options", [{"variant": "other"}, {"kernel": 4}, {"dilation": 0}, {"pictures": np.zeros((2, 8, 8, 3))}]
)
def test_wrong_calls(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"variant|kernel|pictures"):
        blur_edges(**{"pictures": np.zeros((2, 8, 8, 3), np.uint8), **options})  # type: ignore[arg-type]
