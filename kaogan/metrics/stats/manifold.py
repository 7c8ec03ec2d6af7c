"""A set of pictures as the union of balls around them, each reaching to a picture's k-th nearest neighbour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kaogan.core.rng import numpy_generator
from kaogan.metrics.stats.estimate import TooFewSamplesError, checked, same_width
from kaogan.metrics.stats.intervals import halves
from kaogan.metrics.stats.neighbors import Points, blocks, points_of

Features = np.ndarray | Points  # (N, D); as Points of one ``pair_of``, several metrics share what is known of them
PROBES = 2000  # pictures on which the variance that comes from the manifold is measured
REPLICATES = 40


@dataclass
class Manifold:
    """The balls of one set. ``reach`` neighbours of each picture are remembered, 8 k, so that the k-th nearest within
    any random half of the set is among them (but for a chance of 1e-4 a picture)."""

    points: Points
    k: int

    def __post_init__(self) -> None:
        if len(self.points) <= self.k:
            raise TooFewSamplesError(f"{len(self.points)} pictures, more than k = {self.k} are needed")

    @cached_property
    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        return self.points.own_nearest(min(8 * self.k, len(self.points) - 1))

    @property
    def radii(self) -> np.ndarray:
        """The distance to the k-th nearest other picture, (N,)."""
        return self._known[0][:, self.k - 1]

    def radii_within(self, mask: np.ndarray) -> np.ndarray:
        """The same, were only the pictures of ``mask`` there."""
        distances, indices = self._known
        ranks = np.cumsum(mask[indices], 1, dtype=np.int32)
        place = np.where(ranks[:, -1] >= self.k, (ranks >= self.k).argmax(1), distances.shape[1] - 1)
        return distances[np.arange(len(distances)), place]


def pair_of(generated: Features, real: Features) -> tuple[Points, Points]:
    """Both sets, checked. Raises KaoganError for NaN."""
    if isinstance(generated, Points) and isinstance(real, Points):
        return generated, real
    generated, real = (f.features if isinstance(f, Points) else f for f in (generated, real))
    same_width(generated, real)
    for features, what in ((generated, "generated pictures"), (real, "real pictures")):
        for start in range(0, len(features), 8192):
            checked(features[start : start + 8192], 1, what)
    one, other = points_of(real, generated)
    return other, one


def balls_around(probes: Points, manifold: Manifold, inclusive: bool) -> np.ndarray:
    """How many balls each probe lies in, (N,)."""
    counts = np.empty(len(probes), np.int64)
    for where, distances in blocks(probes, manifold.points):
        inside = distances <= manifold.radii if inclusive else distances < manifold.radii
        counts[where] = inside.sum(1)
    return counts


def some_of(points: Points, purpose: str, seed: int) -> Points:
    """At most PROBES of them, at random."""
    chosen = numpy_generator(seed, f"metrics/probes/{purpose}").permutation(len(points))[:PROBES]
    return Points(points.features[np.sort(chosen)], points.centre)


def manifold_variance(probes: Points, manifold: Manifold, inclusive: bool, purpose: str, seed: int) -> np.ndarray:
    """Variances of (the share of probes in any ball, the mean number of balls) that come from the manifold's pictures
    alone: over random halves of them, the probes staying the same."""
    probes = some_of(probes, purpose, seed)
    masks = list(halves(len(manifold.points), REPLICATES, purpose, seed))
    radii = [np.where(mask, manifold.radii_within(mask), -1.0) for mask in masks]
    sums = np.zeros((len(masks), 2))
    for _, distances in blocks(probes, manifold.points):
        for number, reach in enumerate(radii):
            counts = np.count_nonzero(distances <= reach if inclusive else distances < reach, axis=1)
            sums[number] += np.count_nonzero(counts), counts.sum()
    return (sums / len(probes)).var(0, ddof=1)


def margin(own_variance: float, manifold_share: float, normal: float) -> float:
    return normal * math.sqrt(own_variance + manifold_share)
