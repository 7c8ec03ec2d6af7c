"""Kernel distance (KID, Bińkowski et al. 2018): the unbiased squared MMD with the kernel (x·y / D + 1)³.

Unlike the Fréchet distance its expectation does not depend on the number of pictures, so blocks may be averaged.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kaogan.core.rng import numpy_generator
from kaogan.metrics.comparison import FeatureComparison, by_key
from kaogan.metrics.registry import METRICS, Metric
from kaogan.metrics.stats.estimate import Estimate, TooFewSamplesError, checked, same_width
from kaogan.metrics.stats.intervals import mean_of

BLOCK = 1000  # pictures of the smaller set in a block
LEAST_BLOCKS, MOST_BLOCKS = 10, 100
LEAST = 2 * LEAST_BLOCKS


def polynomial(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def squared_mmd(generated: np.ndarray, real: np.ndarray) -> float:
    """The unbiased estimate on features (N, D), (M, D), N, M >= 2; it may be negative (Gretton 2012, eq. 3)."""
    same_width(generated, real)
    x, y = checked(generated, 2, "generated pictures"), checked(real, 2, "real pictures")
    xx, yy = polynomial(x, x), polynomial(y, y)
    within = sum((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy))
    return float(within - 2 * polynomial(x, y).mean())


def kernel_distance(generated: np.ndarray, real: np.ndarray, seed: int = 0) -> Estimate:
    """The mean over disjoint random blocks of both sets, each picture used once.

    The blocks are independent, so Student's interval is valid; the usual standard deviation over overlapping subsets is
    not one. Memory is that of one block. Raises TooFewSamplesError below 20 pictures a side.
    """
    same_width(generated, real)
    smaller = min(len(generated), len(real))
    if smaller < LEAST:
        raise TooFewSamplesError(f"{smaller} pictures, at least {LEAST} are needed")
    count = min(MOST_BLOCKS, max(LEAST_BLOCKS, smaller // BLOCK))
    random = numpy_generator(seed, "metrics/kernel")
    blocks = zip(
        np.array_split(random.permutation(len(generated)), count),
        np.array_split(random.permutation(len(real)), count),
        strict=True,
    )
    return mean_of(np.array([squared_mmd(generated[np.sort(g)], real[np.sort(r)]) for g, r in blocks]))


def kernel_distance_to_few(generated: np.ndarray, real: np.ndarray, seed: int = 0) -> Estimate:
    """The same against all of a few real pictures, two at least, in every block: the interval holds for these ones.

    Raises TooFewSamplesError below 20 generated pictures.
    """
    if len(generated) < LEAST:
        raise TooFewSamplesError(f"{len(generated)} pictures, at least {LEAST} are needed")
    order = numpy_generator(seed, "metrics/kernel").permutation(len(generated))
    parts = np.array_split(order, LEAST_BLOCKS)
    return mean_of(np.array([squared_mmd(generated[np.sort(part)], real) for part in parts]))


def kid_by_subsets(
    generated: np.ndarray, real: np.ndarray, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> tuple[float, float]:
    """Mean and standard deviation over random subsets that overlap: torch-fidelity's convention, to the same draws.

    For comparison with published numbers; ``kernel_distance`` has the same expectation and an interval.
    """
    if min(len(generated), len(real)) < size:
        raise TooFewSamplesError(f"{min(len(generated), len(real))} pictures, subsets of {size} are asked for")
    random = np.random.RandomState(seed)  # the generator of that convention
    values = []
    for _ in range(subsets):
        g = random.choice(len(generated), size, replace=False)
        r = random.choice(len(real), size, replace=False)
        values.append(squared_mmd(generated[g], real[r]))
    return float(np.mean(values)), float(np.std(values))


def _compute(comparison: FeatureComparison) -> Mapping[str, Estimate]:
    return {"kid": kernel_distance(comparison.generated.features, comparison.real.features, comparison.seed)}


def _against_itself(comparison: FeatureComparison) -> Mapping[str, float | None]:
    found = comparison.of_real_parts("kid", lambda a, b: [kernel_distance(a.features, b.features).value])
    return by_key(("kid",), found)


def _in_training(comparison: FeatureComparison) -> Mapping[str, Estimate]:
    """Also where a few held-out pictures are all there is."""
    if len(comparison.real) >= LEAST:
        return _compute(comparison)
    generated, real = comparison.generated.features, comparison.real.features
    return {"kid": kernel_distance_to_few(generated, real, comparison.seed)}


METRIC = METRICS.register(
    "kid",
    Metric(
        name="kid",
        keys={"kid": "lower"},
        summary="kernel distance",
        reading="KD is the kernel distance, KID with Inception's features; its expectation does not depend on the "
        "number of pictures.",
        label=lambda key, extractor: "KID" if extractor == "Inception" else f"KD-{extractor}",
        compute=_compute,
        against_itself=_against_itself,
        in_training=_in_training,
        training_keys=("kid",),
    ),
    home=__name__,
)
