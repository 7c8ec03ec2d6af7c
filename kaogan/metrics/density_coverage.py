"""Density and coverage (Naeem et al. 2020): k = 5, a picture on the edge of a ball is outside (<).

Density counts in how many real balls a generated picture lies, over k: about 1 for a perfect generator, more for one
that keeps to the crowded places. Coverage is the share of real pictures whose ball holds a generated one.
"""

from __future__ import annotations

import numpy as np

from kaogan.core.rng import numpy_generator
from kaogan.metrics.comparison import by_key
from kaogan.metrics.registry import METRICS, Metric
from kaogan.metrics.stats.estimate import Estimate
from kaogan.metrics.stats.intervals import NORMAL, halves
from kaogan.metrics.stats.manifold import (
    PROBES,
    REPLICATES,
    Features,
    Manifold,
    balls_around,
    manifold_variance,
    margin,
    pair_of,
)
from kaogan.metrics.stats.neighbors import Points, blocks

K = 5


def density_coverage(generated: Features, real: Features, k: int = K) -> tuple[float, float]:
    """Features (N, D), (M, D) -> (density >= 0, coverage in 0..1). Raises
    TooFewSamplesError unless there are more than k reals."""
    fake_points, real_points = pair_of(generated, real)
    manifold = Manifold(real_points, k)
    density = balls_around(fake_points, manifold, inclusive=False).mean() / k
    return float(density), float(_hit(fake_points, manifold).mean())


def with_intervals(generated: Features, real: Features, k: int = K, seed: int = 0) -> tuple[Estimate, Estimate]:
    """The same with intervals that join the chance of the probes and that of the balls (half-samples)."""
    fake_points, real_points = pair_of(generated, real)
    manifold = Manifold(real_points, k)
    counts = balls_around(fake_points, manifold, inclusive=False) / k
    from_balls = manifold_variance(fake_points, manifold, False, "density", seed)[1] / k**2
    own = float(counts.var(ddof=1)) / len(counts) if len(counts) > 1 else 0.0
    density = Estimate.around(float(counts.mean()), margin(own, from_balls, NORMAL), 0.0)

    covered = float(_hit(fake_points, manifold).mean())
    smoothed = (covered * len(real_points) + 1) / (len(real_points) + 2)
    own = smoothed * (1 - smoothed) / len(real_points)
    coverage = Estimate.around(covered, margin(own, _coverage_variance(fake_points, manifold, seed), NORMAL), 0.0, 1.0)
    return density, coverage


def _hit(fakes: Points, manifold: Manifold) -> np.ndarray:
    """Whether each real ball holds a generated picture, (M,)."""
    closest = np.empty(len(manifold.points))
    for where, distances in blocks(manifold.points, fakes):
        closest[where] = distances.min(1)
    return closest < manifold.radii


def _coverage_variance(fakes: Points, manifold: Manifold, seed: int) -> float:
    """The variance of coverage that comes from the generated pictures, over halves of them; the balls stay."""
    reals = manifold.points
    chosen = np.sort(numpy_generator(seed, "metrics/probes/coverage").permutation(len(reals))[:PROBES])
    probes, radii = Points(reals.features[chosen], reals.centre), manifold.radii[chosen]
    masks = list(halves(len(fakes), REPLICATES, "coverage", seed))
    hits = np.zeros(len(masks))
    for where, distances in blocks(probes, fakes):
        inside = distances < radii[where, None]
        for number, mask in enumerate(masks):
            hits[number] += np.count_nonzero((inside & mask).any(1))
    return float((hits / len(probes)).var(ddof=1))


KEYS = ("density", "coverage")


METRIC = METRICS.register(
    "density",
    Metric(
        name="density",
        keys=dict.fromkeys(KEYS, "higher"),
        summary="density and coverage",
        reading="Density and coverage: the same two questions with k = 5 and balls around real pictures alone.",
        label=lambda key, extractor: f"{key} ({extractor})",
        compute=lambda c: dict(zip(KEYS, with_intervals(c.points[0], c.points[1], seed=c.seed), strict=True)),
        against_itself=lambda c: by_key(KEYS, c.of_real_parts("density", density_coverage)),
        training_keys=KEYS,
    ),
    home=__name__,
)
