"""Does the generator repeat its training pictures?

A generated picture counts as a copy when it is nearer to some training picture than half the mean distance between that
picture's whereabouts and its 50 nearest training pictures (the relative measure of Carlini et al. 2023, "Extracting
Training Data from Diffusion Models", section 4.2, with their alpha = 0.5 and n = 50).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaogan.metrics.checks import Estimate, TooFew
from kaogan.metrics.intervals import share
from kaogan.metrics.manifold import pair_of
from kaogan.metrics.neighbours import nearest

NEIGHBOURS, ALPHA = 50, 0.5
LEAST = 10


@dataclass(frozen=True)
class Memorisation:
    copies: Estimate
    """Share of generated pictures that count as copies."""
    nearest: np.ndarray
    """int64 (N,): the training picture nearest to each generated one."""
    closeness: np.ndarray
    """float64 (N,): its distance, over the mean distance to the 50 nearest; below ``ALPHA`` is a copy."""
    distance_ratio: float
    """The median distance from a generated picture to the nearest training picture, over that between training
    pictures: about 1 for fresh pictures of the same kind, 0 for copies."""


def memorisation(generated: np.ndarray, training: np.ndarray) -> Memorisation:
    """Features (N, D) against *all* training pictures' (M, D). Raises TooFew below 10 training pictures."""
    fakes, reals = pair_of(generated, training)
    if len(reals) < LEAST:
        raise TooFew(f"{len(reals)} training pictures, at least {LEAST} are needed")
    distances, indices = nearest(fakes, reals, min(NEIGHBOURS, len(reals)))
    among, _ = nearest(reals, reals, 1, same=True)
    means = distances.mean(1)
    closeness = np.divide(distances[:, 0], means, out=np.zeros(len(means)), where=means > 0)
    usual = float(np.median(among))
    ratio = float(np.median(distances[:, 0])) / usual if usual else float("nan")
    return Memorisation(
        share(int(np.count_nonzero(closeness < ALPHA)), len(closeness)), indices[:, 0], closeness, ratio
    )
