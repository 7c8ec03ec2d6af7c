"""Does the generator repeat its training pictures?

A generated picture counts as a copy when it is nearer to a training picture than 95 of 100 training pictures are to
their own nearest neighbour. So about one in twenty fresh pictures of the same kind counts, and what matters is how far
a generator rises above the value of real against real pictures. A set with duplicates has a smaller threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaogan.metrics.stats.estimate import Estimate, TooFew
from kaogan.metrics.stats.intervals import share
from kaogan.metrics.stats.manifold import Features, pair_of
from kaogan.metrics.stats.neighbors import nearest

QUANTILE = 0.05
LEAST, LEAST_GENERATED = 40, 10


@dataclass(frozen=True)
class Memorisation:
    copies: Estimate
    """Share of generated pictures that count as copies."""
    nearest: np.ndarray
    """int64 (N,): the training picture nearest to each generated one."""
    closeness: np.ndarray
    """float64 (N,): its distance, in units of the median distance between training pictures and their nearest."""
    threshold: float
    """What ``closeness`` must not exceed in a copy."""

    @property
    def usual(self) -> float:
        """The median closeness: about 1 for fresh pictures of the same kind, 0 for copies."""
        return float(np.median(self.closeness))


def memorisation(generated: Features, training: Features) -> Memorisation:
    """Features (N, D) against *all* training pictures' (M, D). Raises TooFew below 10 against 40."""
    fakes, reals = pair_of(generated, training)
    if len(reals) < LEAST:
        raise TooFew(f"{len(reals)} training pictures, at least {LEAST} are needed")
    if len(fakes) < LEAST_GENERATED:
        raise TooFew(f"{len(fakes)} pictures, at least {LEAST_GENERATED} are needed")
    distances, indices = nearest(fakes, reals, 1)
    among, _ = reals.own_nearest(1)
    unit = float(np.median(among)) or 1.0
    limit = float(np.quantile(among, QUANTILE))
    copied = int(np.count_nonzero(distances[:, 0] <= limit))
    return Memorisation(share(copied, len(distances)), indices[:, 0], distances[:, 0] / unit, limit / unit)
