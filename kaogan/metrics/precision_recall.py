"""Improved precision and recall (Kynkäänniemi et al. 2019): k = 3, a picture on the edge of a ball is inside (<=).

Precision is the share of generated pictures among the real ones' balls, recall the share of real pictures among the
generated ones' balls. torch-fidelity's convention.
"""

from __future__ import annotations

from kaogan.metrics.comparison import by_key
from kaogan.metrics.registry import METRICS, Metric
from kaogan.metrics.stats.estimate import Estimate
from kaogan.metrics.stats.intervals import NORMAL
from kaogan.metrics.stats.manifold import Features, Manifold, balls_around, manifold_variance, margin, pair_of
from kaogan.metrics.stats.neighbors import Points

K = 3


def precision_recall(generated: Features, real: Features, k: int = K) -> tuple[float, float]:
    """Features (N, D), (M, D) -> (precision, recall). Raises TooFewSamplesError unless both have more
    than k pictures."""
    fake_points, real_points = pair_of(generated, real)
    precision = (balls_around(fake_points, Manifold(real_points, k), inclusive=True) > 0).mean()
    recall = (balls_around(real_points, Manifold(fake_points, k), inclusive=True) > 0).mean()
    return float(precision), float(recall)


def with_intervals(generated: Features, real: Features, k: int = K, seed: int = 0) -> tuple[Estimate, Estimate]:
    """The same with intervals that join the chance of the probes (a binomial) and that of the balls (half-samples)."""
    fake_points, real_points = pair_of(generated, real)
    return (
        _covered(fake_points, Manifold(real_points, k), "precision", seed),
        _covered(real_points, Manifold(fake_points, k), "recall", seed),
    )


def _covered(probes: Points, manifold: Manifold, purpose: str, seed: int) -> Estimate:
    share = float((balls_around(probes, manifold, inclusive=True) > 0).mean())
    # The binomial as if one more were in and one more out: a share of 0 or 1 is not known without error.
    smoothed = (share * len(probes) + 1) / (len(probes) + 2)
    own = smoothed * (1 - smoothed) / len(probes)
    from_balls = manifold_variance(probes, manifold, True, purpose, seed)[0]
    return Estimate.around(share, margin(own, from_balls, NORMAL), 0.0, 1.0)


KEYS = ("precision", "recall")


METRIC = METRICS.register(
    "precision",
    Metric(
        name="precision",
        keys=dict.fromkeys(KEYS, "higher"),
        summary="precision and recall",
        reading="Precision and recall: k = 3, the shares of generated pictures that look real and of "
        "real ones that the model covers.",
        label=lambda key, extractor: f"{key} ({extractor})",
        compute=lambda c: dict(zip(KEYS, with_intervals(c.points[0], c.points[1], seed=c.seed), strict=True)),
        against_itself=lambda c: by_key(KEYS, c.of_real_parts("precision", precision_recall)),
        training_keys=KEYS,
    ),
    home=__name__,
)
