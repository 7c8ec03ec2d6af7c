"""Alignment of thumbnails and their difference after it, so that a cut border does not hide a copy.

Lucas and Kanade 1981 with four unknowns (a scale and a shift for each axis), all pairs of a batch at once: with scales
along the axes only, resampling is one matrix product from each side.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SIDE = 32  # of a thumbnail, px
ITERATIONS, FEW_ITERATIONS = 6, 2
MAX_SCALE, MAX_SHIFT = 0.2, 5 / 32  # of the scale; of the side
_WINDOW = 5  # px, of the square in which a local difference is averaged
_GREY = np.array([0.299, 0.587, 0.114], np.float32)
# Keeps the unknowns small where a picture is too plain to tell them.
_DAMPING = np.diag([50.0, 0.5, 50.0, 0.5]).astype(np.float32)


def coarse(thumbnails: np.ndarray) -> np.ndarray:
    """uint8 (M, 32, 32, 3) -> float16 (M, 16, 16), soft grey levels: small enough to be held for a whole set."""
    half = _halved()
    return (half @ (thumbnails.astype(np.float32) @ _GREY) @ half.T).astype(np.float16)


def rough_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The mean grey difference (M,) of two ``coarse`` ones after alignment: a tenth of the work of ``differences``.

    Copies cut by up to 8 % a side stay below 5; nearly all other pairs that share a layout are beyond 8.
    """
    a, b = first.astype(np.float32), second.astype(np.float32)
    placed = _align(a, b, FEW_ITERATIONS)
    inside = _inside(placed, SIDE // 2, 0.3)
    gaps = np.abs(a - _moved(b, placed)) * inside
    return gaps.sum((1, 2)) / np.maximum(inside.sum((1, 2)), 1)


def differences(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How pairs of thumbnails, uint8 (M, 32, 32, 3), differ after alignment: (worst, mean), float32 (M,), grey levels.

    ``worst`` is the largest mean over a square of 5 px: low for re-encoded, resized and cropped copies, high as soon as
    an eye or a mouth is another. ``mean`` is over all that overlaps.
    """
    a, b = _soft(first), _soft(second)
    placed = _align(np.einsum("mcyx,c->myx", a, _GREY), np.einsum("mcyx,c->myx", b, _GREY), ITERATIONS)
    inside = _inside(placed, SIDE, 0.3)
    gaps = np.abs(a - _moved(b, placed[:, None])).mean(1) * inside
    box = _box()
    share = box @ inside @ box.T
    local = (box @ gaps @ box.T) / np.maximum(share, 0.6)
    return local.max((1, 2)), gaps.sum((1, 2)) / np.maximum(inside.sum((1, 2)), 1)


def _align(first: np.ndarray, second: np.ndarray, iterations: int) -> np.ndarray:
    """Grey (M, S, S) twice -> (M, 4): scale - 1 and shift in x, then in y, that lay the second over the first."""
    count, side, _ = first.shape
    centred = _centred(side)
    placed = np.zeros((count, 4), np.float32)
    bounds = np.array([MAX_SCALE, MAX_SHIFT * side] * 2, np.float32)
    jacobian = np.empty((count, 4, side, side), np.float32)
    for _ in range(iterations):
        warped = _moved(second, placed)
        weight = _inside(placed, side, 0.0)
        jacobian[:, 1] = _slopes(warped) * weight
        jacobian[:, 3] = _slopes(warped.swapaxes(1, 2)).swapaxes(1, 2) * weight
        jacobian[:, 0], jacobian[:, 2] = jacobian[:, 1] * centred, jacobian[:, 3] * centred[:, None]
        flat = jacobian.reshape(count, 4, side * side)
        square = flat @ flat.swapaxes(1, 2) + _DAMPING
        step = np.linalg.solve(square, flat @ (first - warped).reshape(count, side * side, 1))
        placed = np.clip(placed + step[..., 0], -bounds, bounds)
    return placed


def _moved(pictures: np.ndarray, placed: np.ndarray) -> np.ndarray:
    """(..., S, S) resampled linearly at the places of (..., 4), the border repeated."""
    side = pictures.shape[-1]
    return _weights(placed[..., 2:], side) @ pictures @ _weights(placed[..., :2], side).swapaxes(-1, -2)


def _centred(side: int) -> np.ndarray:
    return np.arange(side, dtype=np.float32) - (side - 1) / 2


def _places(axis: np.ndarray, side: int) -> np.ndarray:
    """(..., 2) -> (..., S): where each of the pixels comes from."""
    return (1 + axis[..., :1]) * _centred(side) + (side - 1) / 2 + axis[..., 1:]


def _weights(axis: np.ndarray, side: int) -> np.ndarray:
    """(..., 2) -> (..., S, S): linear interpolation along one axis."""
    places = np.clip(_places(axis, side), 0, side - 1)
    return np.maximum(0, 1 - np.abs(places[..., None] - np.arange(side, dtype=np.float32)))


def _inside(placed: np.ndarray, side: int, slack: float) -> np.ndarray:
    """(M, S, S), 1 where the second picture has something to compare with."""
    x, y = _places(placed[:, :2], side), _places(placed[:, 2:], side)
    x_in, y_in = ((p >= -slack) & (p <= side - 1 + slack) for p in (x, y))
    return (y_in[:, :, None] & x_in[:, None, :]).astype(np.float32)


def _slopes(pictures: np.ndarray) -> np.ndarray:
    """Central differences along the last axis."""
    slopes = np.empty_like(pictures)
    slopes[..., 1:-1] = (pictures[..., 2:] - pictures[..., :-2]) / 2
    slopes[..., 0], slopes[..., -1] = pictures[..., 1] - pictures[..., 0], pictures[..., -1] - pictures[..., -2]
    return slopes


def _soft(thumbnails: np.ndarray) -> np.ndarray:
    """uint8 (M, 32, 32, 3) -> float32 (M, 3, 32, 32), slightly blurred against the noise of JPEG and of resampling."""
    blur = _blur()
    return blur @ thumbnails.transpose(0, 3, 1, 2).astype(np.float32) @ blur.T


@lru_cache(maxsize=1)
def _blur() -> np.ndarray:
    return _gaussian(0.8)


@lru_cache(maxsize=1)
def _halved() -> np.ndarray:
    """(16, 32): blur, then the mean of each two pixels."""
    return _gaussian(1.5).reshape(SIDE // 2, 2, SIDE).mean(1)


def _gaussian(sigma: float) -> np.ndarray:
    at = np.arange(SIDE, dtype=np.float32)
    weights = np.exp(-0.5 * ((at[:, None] - at) / sigma) ** 2)
    return weights / weights.sum(1, keepdims=True)


@lru_cache(maxsize=1)
def _box() -> np.ndarray:
    at = np.arange(SIDE)
    return (np.abs(at[:, None] - at) <= _WINDOW // 2).astype(np.float32) / _WINDOW
