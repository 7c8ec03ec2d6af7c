"""Fixed share: how much of the fine detail is the same in every picture.

The high-pass energy of the mean picture over the mean high-pass energy of a picture; high pass: the picture minus its
5 × 5 binomial blur. A generator that draws strokes at fixed places, whatever the face (Karras et al. 2021 call it
texture sticking), has a high share; real faces, aligned as they are, about 1 %. No network is needed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import correlate1d
from scipy.stats import t

from kaogan.core.images import Pictures
from kaogan.data.cache import fingerprint_of
from kaogan.metrics.collect import Arrays
from kaogan.metrics.comparison import PictureComparison
from kaogan.metrics.registry import METRICS, Metric
from kaogan.metrics.stats.estimate import Estimate, TooFewSamplesError

BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
BLOCKS = 20  # of the jackknife
LEAST = 2 * BLOCKS


def high_pass(pictures: Pictures) -> np.ndarray:
    """uint8 (N, H, W, C) -> float32, the same shape: minus the binomial blur, edges mirrored."""
    images = pictures.astype(np.float32)
    blurred = correlate1d(correlate1d(images, BINOMIAL, 1, mode="reflect"), BINOMIAL, 2, mode="reflect")
    return images - blurred


class HighPassSums:
    """Sums of high passes in blocks. Arrays: ``sums`` (BLOCKS, H·W·C), ``energy`` and ``count`` (BLOCKS,)."""

    name = "high-pass sums"
    fingerprint = fingerprint_of("high-pass sums", "binomial 5", BLOCKS)

    def __init__(self) -> None:
        self._sums: np.ndarray | None = None
        self._energy, self._count = np.zeros(BLOCKS), np.zeros(BLOCKS)
        self._seen = 0

    def add(self, pictures: Pictures) -> None:
        passed = high_pass(pictures).reshape(len(pictures), -1)
        if self._sums is None:
            self._sums = np.zeros((BLOCKS, passed.shape[1]))
        for number, one in enumerate(passed, self._seen):
            self._sums[number % BLOCKS] += one
            self._energy[number % BLOCKS] += float(np.dot(one, one))
            self._count[number % BLOCKS] += 1
        self._seen += len(pictures)

    def arrays(self) -> Arrays:
        sums = np.zeros((BLOCKS, 0)) if self._sums is None else self._sums
        return {"sums": sums, "energy": self._energy, "count": self._count}


def fixed_share(arrays: Mapping[str, np.ndarray]) -> Estimate:
    """Arrays of ``HighPassSums`` -> the share in about 0..1, free of bias, so that a small one may come out below 0.

    Of independent pictures, ‖Σh‖² holds each picture's own energy once: it is taken off. The interval is that of the
    delete-a-block jackknife, with Student's quantile. Raises TooFewSamplesError below 40 pictures.
    """
    sums, energy, count = arrays["sums"], arrays["energy"], arrays["count"]
    if count.sum() < LEAST:
        raise TooFewSamplesError(f"{int(count.sum())} pictures, at least {LEAST} are needed")
    whole = sums.sum(0)

    def share(total: np.ndarray, energies: float, pictures: float) -> float:
        fixed = (float(total @ total) - energies) / (pictures * (pictures - 1))
        return fixed / (energies / pictures) if energies else 0.0

    value = share(whole, float(energy.sum()), float(count.sum()))
    left_out = np.array(
        [
            share(whole - sums[block], float(energy.sum() - energy[block]), float(count.sum() - count[block]))
            for block in range(BLOCKS)
        ]
    )
    variance = (BLOCKS - 1) / BLOCKS * float(((left_out - left_out.mean()) ** 2).sum())
    return Estimate.around(value, float(t.ppf(0.975, BLOCKS - 1)) * variance**0.5, most=1.0)


def _compute(comparison: PictureComparison) -> Mapping[str, Estimate]:
    return {"fixed_share": fixed_share(comparison.generated)}


def _against_itself(comparison: PictureComparison) -> Mapping[str, float | None]:
    try:
        return {"fixed_share": fixed_share(comparison.real).value}
    except TooFewSamplesError:
        return {}


METRIC = METRICS.register(
    "fixed_share",
    Metric(
        name="fixed_share",
        keys={"fixed_share": "lower"},
        summary="fine detail that is the same in every picture",
        reading="Fixed share: the part of the high-pass energy that is the same in every picture; about 0.01 in real "
        "faces, more where strokes sit at fixed places.",
        label=lambda key, extractor: "fixed share of detail",
        compute=_compute,
        against_itself=_against_itself,
        needs="pictures",
        collector=HighPassSums,
        training_keys=("fixed_share",),
    ),
    home=__name__,
)
