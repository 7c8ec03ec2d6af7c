"""Power ratio: the power of generated pictures over that of real ones, by bands of spatial frequency.

Bands are in cycles over 64 px, whatever the size of the pictures. Below 1 detail is missing, above 1 there is grain or
weave. No network is needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import numpy as np

from kaogan.core.images import Pictures
from kaogan.data.cache import fingerprint_of
from kaogan.metrics.collect import Arrays
from kaogan.metrics.comparison import PictureComparison
from kaogan.metrics.registry import METRICS, Better, Metric
from kaogan.metrics.stats.estimate import Estimate, TooFewSamplesError
from kaogan.metrics.stats.intervals import NORMAL

BANDS: Mapping[str, tuple[float, float]] = {
    "power_8_16": (8, 16),
    "power_16_22": (16, 22),
    "power_24_30": (24, 30),
    "power_30": (30, math.inf),
}
LEAST = 10


@cache
def _masks(height: int, width: int) -> np.ndarray:
    """float32 (bands, H, W // 2 + 1): the weight of each coefficient of a real transform in each band."""
    ys = np.fft.fftfreq(height)[:, None] * 64
    xs = np.fft.rfftfreq(width)[None] * 64
    radius = np.hypot(ys, xs)
    weight = np.full(xs.shape, 2.0)  # a real transform leaves out the mirror image of most columns
    weight[:, 0] = 1
    if width % 2 == 0:
        weight[:, -1] = 1
    return np.stack([((radius >= low) & (radius < high)) * weight for low, high in BANDS.values()]).astype(np.float32)


@cache
def _window(height: int, width: int) -> np.ndarray:
    """Hann's, float32 (H, W, 1). Without it the step from one edge of a picture to the other looks like fine detail,
    which hides what a blurred picture lacks."""
    high, wide = (np.hanning(side + 2)[1:-1] for side in (height, width))
    return (high[:, None] * wide)[..., None].astype(np.float32)


def band_powers(pictures: Pictures) -> np.ndarray:
    """uint8 (N, H, W, C) -> float64 (N, bands): the power of each picture in each band, the mean over channels."""
    images = pictures.astype(np.float32) / 255
    images = (images - images.mean((1, 2), keepdims=True)) * _window(*pictures.shape[1:3])
    spectrum = np.abs(np.fft.rfft2(images, axes=(1, 2), norm="ortho")) ** 2
    return np.einsum("bhw,nhwc->nb", _masks(*pictures.shape[1:3]), spectrum) / pictures.shape[3]


class BandPowers:
    """The power of each picture in each band. Arrays: ``powers`` float64 (N, bands)."""

    name = "band powers"
    fingerprint = fingerprint_of("band powers", list(BANDS), "Hann")

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []

    def add(self, pictures: Pictures) -> None:
        self._parts.append(band_powers(pictures))

    def arrays(self) -> Arrays:
        return {"powers": np.concatenate(self._parts) if self._parts else np.empty((0, len(BANDS)))}


def power_ratio(generated: np.ndarray, real: np.ndarray) -> dict[str, Estimate]:
    """Powers (N, bands), (M, bands) -> the ratio of the means of each band, with the delta method's interval.

    Raises TooFewSamplesError below 10 pictures a side. A band in which real pictures have no power is left out.
    """
    if min(len(generated), len(real)) < LEAST:
        raise TooFewSamplesError(f"{min(len(generated), len(real))} pictures, at least {LEAST} are needed")
    found = {}
    for number, key in enumerate(BANDS):
        a, b = generated[:, number], real[:, number]
        if not b.mean():
            continue
        ratio = float(a.mean() / b.mean())
        variance = (a.var(ddof=1) / len(a) + ratio**2 * b.var(ddof=1) / len(b)) / b.mean() ** 2
        found[key] = Estimate.around(ratio, NORMAL * math.sqrt(variance), 0.0)
    return found


def _compute(comparison: PictureComparison) -> Mapping[str, Estimate]:
    return power_ratio(comparison.generated["powers"], comparison.real["powers"])


def _label(key: str, extractor: str) -> str:
    low, high = BANDS[key]
    return f"power above {low:g} cycles" if math.isinf(high) else f"power at {low:g} to {high:g} cycles"


_DIRECTIONS: Mapping[str, Better] = dict.fromkeys(BANDS, "one")

METRIC = METRICS.register(
    "power_ratio",
    Metric(
        name="power_ratio",
        keys=_DIRECTIONS,
        summary="power of generated over real pictures, by bands",
        reading="Power: that of generated over that of real pictures in a band of spatial frequency (cycles over 64 "
        "px); below 1 detail is missing, above 1 there is grain.",
        label=_label,
        compute=_compute,
        against_itself=lambda comparison: dict.fromkeys(BANDS, 1.0),
        needs="pictures",
        collector=BandPowers,
        training_keys=tuple(BANDS),
    ),
    home=__name__,
)
