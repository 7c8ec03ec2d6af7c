"""The Fréchet distance between Gaussians fitted to two sets of features (FID, Heusel et al. 2017, eq. 6).

With Inception's features it is FID; with others it goes by the extractor's name. Small samples make it too large, by
about c / N; ``extrapolated`` takes that away (Chong & Forsyth 2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kaogan.metrics.comparison import FeatureComparison, by_key
from kaogan.metrics.registry import METRICS, Metric
from kaogan.metrics.stats.estimate import Estimate, TooFewSamplesError, same_width
from kaogan.metrics.stats.intervals import NORMAL, halves
from kaogan.metrics.stats.moments import CHUNK, Moments

LEAST = 2
LEAST_EXTRAPOLATED = 40


@dataclass(frozen=True)
class _Root:
    """A covariance as F Fᵀ: its eigenvectors (D, r) and the roots of its positive eigenvalues (r,)."""

    vectors: np.ndarray
    scales: np.ndarray

    @classmethod
    def of(cls, covariance: np.ndarray) -> _Root:
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        # What rounding leaves of a direction in which nothing varies is not variance.
        kept = values > max(float(values[-1]), 0.0) * len(values) * np.finfo(float).eps
        return cls(vectors[:, kept], np.sqrt(values[kept]))

    @property
    def factor(self) -> np.ndarray:
        return self.vectors * self.scales

    def whitened(self, centred: np.ndarray) -> np.ndarray:
        return centred @ (self.vectors / self.scales)


class Gaussian(NamedTuple):
    """Mean (D,) and covariance (D, D)."""

    mean: np.ndarray
    covariance: np.ndarray


def distance_of_moments(one: Moments, other: Moments) -> float:
    """The distance of the Gaussians that have these moments. Raises TooFewSamplesError below two pictures a side."""
    if min(one.count, other.count) < LEAST:
        raise TooFewSamplesError(f"{min(one.count, other.count)} pictures, at least {LEAST} are needed")
    return distance_of_gaussians(Gaussian(one.mean, one.covariance), Gaussian(other.mean, other.covariance))


def distance_of_gaussians(one: Gaussian, other: Gaussian) -> float:
    """‖m1 - m2‖² + tr(S1 + S2 - 2 (S1 S2)^½).

    The trace of the root is the sum of the singular values of S1^½ S2^½. Roots of the eigenvalues of their product, the
    usual way, would turn rounding errors of 1e-16 into 1e-8, once for each direction in which nothing varies.
    """
    a, b = one.covariance, other.covariance
    cross = _Root.of(a).factor.T @ _Root.of(b).factor
    root = float(np.linalg.svd(cross, compute_uv=False).sum()) if cross.size else 0.0
    difference = one.mean - other.mean
    return float(difference @ difference + np.trace(a) + np.trace(b) - 2 * root)


def frechet_distance(generated: np.ndarray, real: np.ndarray) -> float:
    """Features (N, D), (M, D) -> the distance; symmetric, 0 for equal sets up to rounding."""
    same_width(generated, real)
    return distance_of_moments(Moments.of(generated), Moments.of(real))


def with_interval(generated: np.ndarray, real: np.ndarray) -> Estimate:
    """The distance and an interval for its expectation *at these sample sizes*.

    The standard error is the delta method's (the infinitesimal jackknife): the distance is a smooth function of means
    and covariances, and the derivative with respect to S1 is I - T, T the optimal map from one Gaussian to the other
    (Rippl, Munk & Sturm 2016, J. Multivariate Analysis 151, theorem 2.2). A bootstrap would not do: resampling with
    replacement adds the bias of a smaller sample once more, and its percentiles can all lie above the value itself.
    """
    same_width(generated, real)
    one, other = Moments.of(generated), Moments.of(real)
    value = distance_of_moments(one, other)
    return Estimate.around(value, NORMAL * standard_error(generated, real, one, other), least=0.0)


def standard_error(generated: np.ndarray, real: np.ndarray, one: Moments, other: Moments) -> float:
    a, b = _Root.of(one.covariance), _Root.of(other.covariance)
    if not (a.scales.size and b.scales.size):
        return 0.0
    left, singular, right = np.linalg.svd(a.factor.T @ b.factor, full_matrices=False)
    variance = _variance(generated, one, a, left * np.sqrt(singular), other.mean)
    return math.sqrt(variance + _variance(real, other, b, right.T * np.sqrt(singular), one.mean))


def against_gaussian(generated: np.ndarray, real: Gaussian) -> Estimate:
    """The distance of features (N, D) from a fixed Gaussian, such as a published one, and an interval that holds the
    chance of the generated pictures alone. Raises TooFewSamplesError below two pictures."""
    one = Moments.of(generated)
    if one.count < LEAST:
        raise TooFewSamplesError(f"{one.count} pictures, at least {LEAST} are needed")
    value = distance_of_gaussians(Gaussian(one.mean, one.covariance), real)
    a, b = _Root.of(one.covariance), _Root.of(real.covariance)
    if not (a.scales.size and b.scales.size):
        return Estimate.around(value, 0.0, least=0.0)
    left, singular, _ = np.linalg.svd(a.factor.T @ b.factor, full_matrices=False)
    error = math.sqrt(_variance(generated, one, a, left * np.sqrt(singular), real.mean))
    return Estimate.around(value, NORMAL * error, least=0.0)


def _variance(features: np.ndarray, own: Moments, root: _Root, turn: np.ndarray, towards: np.ndarray) -> float:
    """Of the distance, by the chance of one side's pictures."""
    starts = range(0, len(features), CHUNK)
    parts = [_influence(features[start : start + CHUNK], own, root, turn, towards) for start in starts]
    return float(np.concatenate(parts).var(ddof=1)) / len(features)


def _influence(features: np.ndarray, own: Moments, root: _Root, turn: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """How much each picture moves the distance, but for a constant: ‖c‖² - cᵀTc + 2 (m1 - m2)·c, (N,)."""
    centred = features.astype(np.float64) - own.mean
    moved = root.whitened(centred) @ turn
    return (centred**2).sum(1) - (moved**2).sum(1) + 2 * centred @ (own.mean - towards)


def _moments_where(features: np.ndarray, mask: np.ndarray) -> Moments:
    starts = range(0, len(features), CHUNK)
    parts = (features[start : start + CHUNK][mask[start : start + CHUNK]] for start in starts)
    return Moments.merged(part for part in parts if len(part))


def extrapolated(generated: np.ndarray, real: np.ndarray, seed: int = 0, splits: int = 4) -> Estimate:
    """The distance at infinite samples: F(N) - F(N/2) is subtracted once more, as the bias is c / N.

    Both sets are halved, ``splits`` times at random, so that the bias of the real sample goes, too (Chong & Forsyth
    extrapolate the generated one only). Can come out slightly below 0 for equal distributions. The interval joins the
    standard error of ``with_interval`` and the spread of the splits. Raises TooFewSamplesError below 40
    pictures a side.
    """
    same_width(generated, real)
    if min(len(generated), len(real)) < LEAST_EXTRAPOLATED:
        raise TooFewSamplesError(
            f"{min(len(generated), len(real))} pictures, at least {LEAST_EXTRAPOLATED} are needed to extrapolate"
        )
    one, other = Moments.of(generated), Moments.of(real)
    full = distance_of_moments(one, other)
    masks = zip(
        halves(len(generated), 2 * splits, "extrapolate/generated", seed),
        halves(len(real), 2 * splits, "extrapolate/real", seed),
        strict=True,
    )
    halved = np.array([distance_of_moments(_moments_where(generated, g), _moments_where(real, r)) for g, r in masks])
    value = 2 * full - float(halved.mean())
    spread = float(halved.reshape(splits, 2).mean(1).var(ddof=1)) / splits if splits > 1 else 0.0
    error = math.sqrt(standard_error(generated, real, one, other) ** 2 + spread)
    return Estimate.around(value, NORMAL * error)


def _label(key: str, extractor: str) -> str:
    """FID is the name of the distance in Inception's features alone."""
    infinite = "∞" if key == "fid_infinite" else ""
    return f"FID{infinite}" if extractor == "Inception" else f"FD{infinite}-{extractor}"


def _compute(comparison: FeatureComparison) -> Mapping[str, Estimate]:
    generated, real = comparison.generated.features, comparison.real.features
    found = {"fid": with_interval(generated, real)}
    try:
        found["fid_infinite"] = extrapolated(generated, real, comparison.seed)
    except TooFewSamplesError as error:
        comparison.notes.append(f"no extrapolation ({comparison.extractor.name}): {error}")
    return found


def _against_itself(comparison: FeatureComparison) -> Mapping[str, float | None]:
    found = comparison.of_real_parts(
        "fid",
        lambda a, b: [
            frechet_distance(a.features, b.features),
            _or_none(lambda: extrapolated(a.features, b.features).value),
        ],
    )
    values = dict(by_key(("fid", "fid_infinite"), found))
    if (value := values.get("fid")) is not None:
        # Of equal distributions it goes as 1/n + 1/m: from the parts' sizes to the full ones.
        size, count, reals = comparison.part_size, len(comparison.generated), len(comparison.real)
        values["fid"] = value * ((1 / count + 1 / reals) / (1 / size + 1 / (reals - size)))
    return values


def _or_none(compute: Callable[[], float]) -> float | None:
    try:
        return compute()
    except TooFewSamplesError:
        return None


METRIC = METRICS.register(
    "fid",
    Metric(
        name="fid",
        keys={"fid": "lower", "fid_infinite": "lower"},
        summary="Fréchet distance, and extrapolated to infinitely many pictures",
        reading="FD is the Fréchet distance with other features than Inception's, whose name is FID; numbers of "
        "different features, or of different numbers of pictures, cannot be compared, but for FD∞, which is "
        "extrapolated to infinitely many.",
        label=_label,
        compute=_compute,
        against_itself=_against_itself,
        in_training=lambda c: {"fid": with_interval(c.generated.features, c.real.features)},
        training_keys=("fid",),
    ),
    home=__name__,
)
