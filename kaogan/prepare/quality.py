"""Quality filters: measures of uint8 (H, W, 3) RGB pictures, and the reason why one is rejected."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from kaogan.prepare.settings import Picture

_NEAR = 8  # grey levels within which two colours count as one
_MEASURED = 64  # px: the size at which sharpness is measured
_LARGE = 256


@dataclass(frozen=True)
class Measures:
    contrast: float  # standard deviation over the pixels, root mean square of the channels, 0 to 127.5
    plain: float  # share of pixels near the commonest colour, 0 to 1
    sharpness: float  # see below
    brightness: float  # mean, 0 to 255


def measure(picture: np.ndarray) -> Measures:
    small = _at_most(picture, _MEASURED)
    means, deviations = cv2.meanStdDev(small)
    contrast = math.sqrt(sum(each * each for each in deviations.ravel().tolist()) / 3)
    brightness = sum(means.ravel().tolist()) / 3
    return Measures(contrast, _share_of_one_colour(small), _sharpness(picture, small), brightness)


def sharpness(picture: np.ndarray) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000) over the variance of the grey levels, at 64 px.

    From 256 px up, six times the value at 256 px if that is lower: downscaled images look sharp even when the original
    is blurred. Faces drawn or filmed sharply have 0.14 to 4; blurred by 3 % of their side, at most 0.03.
    """
    return _sharpness(picture, _at_most(picture, _MEASURED))


def _sharpness(picture: np.ndarray, small: np.ndarray) -> float:
    value = _laplacian(small)
    if min(picture.shape[:2]) >= _LARGE:
        value = min(value, 6 * _laplacian(_at_most(picture, _LARGE)))
    return value


def too_small_reason(width: int, height: int, settings: Picture) -> str | None:
    short = settings.smallest_side
    return f"{width} x {height} px, short side below {short}" if min(width, height) < short else None


def rejection_reason(found: Measures, settings: Picture) -> tuple[str, str] | None:
    """(step, reason) of the first check that a picture fails, or None."""
    if settings.contrast and found.contrast < settings.contrast:
        return "monochrome", f"contrast {found.contrast:.1f}, below {settings.contrast:g}"
    if found.plain > settings.plain:
        return "monochrome", f"{found.plain:.1%} of one colour, above {settings.plain:.1%}"
    if settings.sharpness and found.sharpness < settings.sharpness:
        return "blurred", f"sharpness {found.sharpness:.3f}, below {settings.sharpness:g}"
    return None


def _at_most(picture: np.ndarray, side: int) -> np.ndarray:
    height, width = picture.shape[:2]
    if min(height, width) <= side:
        return picture
    scale = side / min(height, width)
    # A strip a thousand times as long as wide is not resized into one.
    shape = (min(4 * side, max(side, round(width * scale))), min(4 * side, max(side, round(height * scale))))
    return cv2.resize(picture, shape, interpolation=cv2.INTER_AREA)


def _laplacian(picture: np.ndarray) -> float:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    _, spread = cv2.meanStdDev(grey)
    _, edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return float(edges[0, 0] ** 2 / max(1.0, spread[0, 0] ** 2))


def _share_of_one_colour(picture: np.ndarray) -> float:
    """Only the commonest colour of a coarse sample is counted: what fills a picture fills any sample of it."""
    pixels = picture.reshape(-1, 3)
    sample = pixels[:: max(1, len(pixels) // 25)][:25].T.astype(np.int16)
    close = (np.abs(sample[:, :, None] - sample[:, None]) <= _NEAR).all(0).sum(0)
    red, green, blue = sample[:, close.argmax()].tolist()
    low = (red - _NEAR, green - _NEAR, blue - _NEAR)
    high = (red + _NEAR, green + _NEAR, blue + _NEAR)
    return cv2.countNonZero(cv2.inRange(picture, low, high)) / len(pixels)
