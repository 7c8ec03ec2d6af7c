"""95 % confidence intervals: Student's for independent values, Wilson's for shares, half-samples for the rest."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.stats import t

from kaogan.core.rng import numpy_generator
from kaogan.metrics.stats.estimate import Estimate

NORMAL = 1.959963984540054  # the 97.5 % quantile


def mean_of(values: np.ndarray) -> Estimate:
    """The mean of independent values (n >= 2), with Student's interval."""
    values = np.asarray(values, np.float64)
    error = values.std(ddof=1) / math.sqrt(len(values))
    return Estimate.around(float(values.mean()), float(t.ppf(0.975, len(values) - 1)) * float(error))


def share(hits: int, count: int) -> Estimate:
    """A share of independent yes/no answers with Wilson's score interval (Wilson 1927)."""
    p, z2 = hits / count, NORMAL**2
    centre = (p + z2 / (2 * count)) / (1 + z2 / count)
    half = NORMAL * math.sqrt(p * (1 - p) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return Estimate(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)))


def halves(count: int, replicates: int, purpose: str, seed: int = 0) -> Iterator[np.ndarray]:
    """Random half-samples without replacement, as boolean masks (count,), in complementary pairs.

    The variance of a statistic over half-samples estimates its variance on the full sample: the delete-d jackknife with
    d = n/2, whose factor (n - d)/d is 1, valid for statistics that are not smooth (Shao & Wu 1989, Annals of Statistics
    17(3)). A bootstrap *with* replacement would be wrong here: copies of a picture are its own nearest neighbours.
    """
    random = numpy_generator(seed, f"metrics/halves/{purpose}")
    for _ in range(-(-replicates // 2)):
        mask = np.zeros(count, bool)
        mask[random.permutation(count)[: count // 2]] = True
        yield mask
        yield ~mask
