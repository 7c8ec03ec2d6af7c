"""Corruptions of faces, which teach the tagger good from broken.

Each takes a picture uint8 (64, 64, 3), a strength in (0, 1] (at 0.1 hardly seen, at 1 plainly broken), a generator, and
another face, and returns a new picture uint8 (64, 64, 3).
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Picture = np.ndarray
Fault = Callable[[Picture, float, np.random.Generator, Picture], Picture]


def blur(picture: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    return cv2.GaussianBlur(picture, (0, 0), 0.35 + 3.6 * strength**1.3)


def low_resolution(picture: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    size = picture.shape[0]
    small = max(5, round(size * (0.85 - 0.75 * strength**0.7)))
    back = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC)[rng.integers(3)]
    return cv2.resize(
        cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA), (size, size), interpolation=back
    )


def noise(picture: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    """White or slightly correlated, in colour or grey."""
    height, width, channels = picture.shape
    field = rng.standard_normal((height, width, channels if rng.random() < 0.7 else 1), dtype=np.float32)
    if rng.random() < 0.3:
        field = cv2.GaussianBlur(field, (0, 0), 0.7).reshape(field.shape) * 2.5
    return _clip(picture + field * (2 + 55 * strength**1.3))


def jpeg(picture: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    quality = max(2, round(60 - 58 * strength**0.5))
    _, data = cv2.imencode(".jpg", picture[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]


def colour(picture: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    """A turned hue, a tint, too much or too little saturation, gamma, or few levels."""
    x = picture.astype(np.float32)
    sign = 1 if rng.random() < 0.5 else -1
    kind = rng.integers(5)
    if kind == 0:
        return _clip(x @ hue_matrix(sign * np.radians(8 + 150 * strength)).T)
    if kind == 1:
        return _clip(x + rng.standard_normal(3).astype(np.float32) * (5 + 60 * strength))
    if kind == 2:
        factor = 1 + 2.5 * strength if sign > 0 else 1 - 0.9 * strength
        return _clip(x @ saturation_matrix(factor).T)
    if kind == 3:
        return _clip(255 * (x / 255) ** (1 + 2 * strength) ** sign)
    levels = max(2, round(14 - 12 * strength))
    return _clip(np.round(x / 255 * (levels - 1)) * (255 / (levels - 1)))


def warp(picture: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    return displace(picture, (1 + 9 * strength), int(rng.integers(3, 9)), rng)


def shuffle(picture: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    """Pairs of square pieces change places."""
    result = picture.copy()
    size = picture.shape[0]
    for _ in range(1 + round(5 * strength)):
        side = int(rng.integers(8, 12 + round(12 * strength)))
        (a, b), (c, d) = rng.integers(0, size - side, (2, 2))
        result[a : a + side, b : b + side] = picture[c : c + side, d : d + side]
        result[c : c + side, d : d + side] = picture[a : a + side, b : b + side]
    return result


def blend(picture: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    share = 0.1 + 0.4 * strength
    return _clip(picture * np.float32(1 - share) + other * np.float32(share))


def paste(picture: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    """A part of another face, with a hard or a soft edge: the halves do not fit."""
    size = picture.shape[0]
    mask: np.ndarray = np.zeros((size, size), np.float32)
    high, wide = np.clip(size * (0.2 + 0.5 * strength) * rng.uniform(0.6, 1.6, 2), 8, size).astype(int)
    top, left = rng.integers(0, size - high + 1), rng.integers(0, size - wide + 1)
    mask[top : top + high, left : left + wide] = 1
    mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.3, 5))[..., None]
    return _clip(picture * (1 - mask) + other * mask)


def lattice(picture: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    """The checkerboards that transposed convolutions leave: a pattern of period 2 to 8."""
    size, period = picture.shape[0], int(rng.integers(2, 9))
    tile = rng.standard_normal((period, period, 3 if rng.random() < 0.5 else 1)).astype(np.float32)
    repeats = -(-size // period)
    pattern = np.tile(tile - tile.mean(), (repeats, repeats, 1))[:size, :size]
    return _clip(picture + pattern * (2 + 38 * strength**1.3))


def smear(picture: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    """Flat patches with hard borders, details melted together."""
    if strength < 0.35:
        return cv2.medianBlur(picture, 3)
    result = displace(picture, 1 + 2 * strength, 12, rng)
    return cv2.medianBlur(cv2.medianBlur(result, 5), 5 if strength < 0.7 else 7)


def erase(picture: Picture, strength: float, rng: np.random.Generator, other: Picture) -> Picture:
    """Soft blotches of a colour that the picture has lie over it."""
    size = picture.shape[0]
    mask: np.ndarray = np.zeros((size, size), np.float32)
    for _ in range(1 + round(3 * strength)):
        centre = tuple(int(v) for v in rng.integers(10, size - 10, 2))
        axes = tuple(int(v) for v in rng.integers(3, 7 + round(14 * strength), 2))
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 3))[..., None]
    paint = picture[rng.integers(size), rng.integers(size)].astype(np.float32)
    return _clip(picture * (1 - mask) + paint * mask)


FAULTS: dict[str, Fault] = {
    f.__name__: f
    for f in (blur, low_resolution, noise, jpeg, colour, warp, shuffle, blend, paste, lattice, smear, erase)
}
# Up to this strength these leave a face's colours readable, so that its tags may still be learnt.
READABLE, READABLE_FAULTS = 0.3, frozenset({"blur", "low_resolution", "noise", "jpeg", "lattice", "smear"})


def displace(picture: Picture, amplitude: float, cells: int, rng: np.random.Generator) -> Picture:
    """Every pixel moves by a smooth random field: grain 64 / ``cells`` px, standard deviation 0.6 ``amplitude`` px."""
    size = picture.shape[0]
    coarse = rng.standard_normal((cells, cells, 2)).astype(np.float32) * np.float32(0.6 * amplitude)
    field = np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC))
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    return cv2.remap(
        picture, columns + field[..., 0], rows + field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


def hue_matrix(angle: float) -> np.ndarray:
    """Rotation of RGB around the grey axis, (3, 3) float32."""
    cos, sin = np.cos(angle), np.sin(angle) / np.sqrt(3)
    third = (1 - cos) / 3
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return (cos * np.eye(3) + third + sin * cross).astype(np.float32)


def saturation_matrix(factor: float) -> np.ndarray:
    """Towards (0) or away from (> 1) Rec. 601 grey, (3, 3) float32."""
    grey = np.tile(np.array([0.299, 0.587, 0.114]), (3, 1))
    return (factor * np.eye(3) + (1 - factor) * grey).astype(np.float32)


def _clip(values: np.ndarray) -> Picture:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
