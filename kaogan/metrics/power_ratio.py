"""Power ratio: the power of generated pictures over that of real ones, by bands of spatial frequency.

Bands are in cycles over 64 px, whatever the size of the pictures. Below 1 detail is missing, above 1 there is grain or
weave. A last band is of colour alone, what differs from the mean of the channels: real pictures hardly have fine detail
of it, so a coloured weave that is lost among the other bands shows there. No network is needed.
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
COLOUR, FINE_COLOUR = "power_colour_16", 16  # cycles, and all above
KEYS = (*BANDS, COLOUR)
LEAST = 10
NOTHING = 1e-8  # power: rounding alone has more, and what floating point leaves of a grey picture's colour has less


@cache
def _masks(height: int, width: int) -> np.ndarray:
    """float32 (keys, H, W // 2 + 1): the weight of each coefficient of a real transform in each band."""
    ys = np.fft.fftfreq(height)[:, None] * 64
    xs = np.fft.rfftfreq(width)[None] * 64
    radius = np.hypot(ys, xs)
    weight = np.full(xs.shape, 2.0)  # a real transform leaves out the mirror image of most columns
    weight[:, 0] = 1
    if width % 2 == 0:
        weight[:, -1] = 1
    ranges = (*BANDS.values(), (FINE_COLOUR, math.inf))
    return np.stack([((radius >= low) & (radius < high)) * weight for low, high in ranges]).astype(np.float32)


@cache
def _window(height: int, width: int) -> np.ndarray:
    """Hann's, float32 (H, W, 1). Without it the step from one edge of a picture to the other looks like fine detail,
    which hides what a blurred picture lacks."""
    high, wide = (np.hanning(side + 2)[1:-1] for side in (height, width))
    return (high[:, None] * wide)[..., None].astype(np.float32)


def band_powers(pictures: Pictures) -> np.ndarray:
    """uint8 (N, H, W, C) -> float64 (N, keys): the power of each picture in each band, the mean over channels, and at
    last that of its fine colour; a grey picture has none."""
    images = pictures.astype(np.float32) / 255
    images = (images - images.mean((1, 2), keepdims=True)) * _window(*pictures.shape[1:3])
    spectrum = np.fft.rfft2(images, axes=(1, 2), norm="ortho")
    *bands, fine = _masks(*pictures.shape[1:3])
    powers = np.einsum("bhw,nhwc->nb", np.stack(bands), np.abs(spectrum) ** 2)
    colour = np.einsum("hw,nhwc->n", fine, np.abs(spectrum - spectrum.mean(3, keepdims=True)) ** 2)
    return np.column_stack([powers, colour]) / pictures.shape[3]


class BandPowers:
    """The power of each picture in each band. Arrays: ``powers`` float64 (N, keys)."""

    name = "band powers"
    fingerprint = fingerprint_of("band powers", list(KEYS), "Hann")

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []

    def add(self, pictures: Pictures) -> None:
        self._parts.append(band_powers(pictures))

    def arrays(self) -> Arrays:
        return {"powers": np.concatenate(self._parts) if self._parts else np.empty((0, len(KEYS)))}


def power_ratio(generated: np.ndarray, real: np.ndarray) -> dict[str, Estimate]:
    """Powers (N, keys), (M, keys) -> the ratio of the means of each band, with the delta method's interval.

    Raises TooFewSamplesError below 10 pictures a side. A band in which real pictures have no power is left out.
    """
    if min(len(generated), len(real)) < LEAST:
        raise TooFewSamplesError(f"{min(len(generated), len(real))} pictures, at least {LEAST} are needed")
    found = {}
    for number, key in enumerate(KEYS):
        a, b = generated[:, number], real[:, number]
        if b.mean() < NOTHING:
            continue
        ratio = float(a.mean() / b.mean())
        variance = (a.var(ddof=1) / len(a) + ratio**2 * b.var(ddof=1) / len(b)) / b.mean() ** 2
        found[key] = Estimate.around(ratio, NORMAL * math.sqrt(variance), 0.0)
    return found


def _compute(comparison: PictureComparison) -> Mapping[str, Estimate]:
    return power_ratio(comparison.generated["powers"], comparison.real["powers"])


def _label(key: str, extractor: str) -> str:
    if key == COLOUR:
        return f"power of colour above {FINE_COLOUR} cycles"
    low, high = BANDS[key]
    return f"power above {low:g} cycles" if math.isinf(high) else f"power at {low:g} to {high:g} cycles"


_DIRECTIONS: Mapping[str, Better] = dict.fromkeys(KEYS, "one")

METRIC = METRICS.register(
    "power_ratio",
    Metric(
        name="power_ratio",
        keys=_DIRECTIONS,
        summary="power of generated over real pictures, by bands",
        reading="Power: that of generated over that of real pictures in a band of spatial frequency (cycles over 64 "
        "px); below 1 detail is missing, above 1 there is grain, or a coloured weave.",
        label=_label,
        compute=_compute,
        against_itself=lambda comparison: dict.fromkeys(KEYS, 1.0),
        needs="pictures",
        collector=BandPowers,
        training_keys=tuple(BANDS),
    ),
    home=__name__,
)
