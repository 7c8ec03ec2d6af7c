"""Does the generator repeat its training pictures?

A generated picture counts as a copy when it is nearer to a training picture than 95 of 100 training pictures are to
their own nearest neighbour. So about one in twenty fresh pictures of the same kind counts, and what matters is how far
a generator rises above the value of real against real pictures. A set with duplicates has a smaller threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kaogan.metrics.comparison import FeatureComparison, PicturePairs, by_key
from kaogan.metrics.registry import METRICS, Metric
from kaogan.metrics.stats.estimate import Estimate, TooFewSamplesError
from kaogan.metrics.stats.intervals import share
from kaogan.metrics.stats.manifold import Features, pair_of
from kaogan.metrics.stats.neighbors import nearest

QUANTILE = 0.05
LEAST, LEAST_GENERATED = 40, 10


@dataclass(frozen=True)
class Memorization:
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


def memorization(generated: Features, training: Features) -> Memorization:
    """Features (N, D) against *all* training pictures' (M, D). Raises TooFewSamplesError below 10 against 40."""
    fakes, reals = pair_of(generated, training)
    if len(reals) < LEAST:
        raise TooFewSamplesError(f"{len(reals)} training pictures, at least {LEAST} are needed")
    if len(fakes) < LEAST_GENERATED:
        raise TooFewSamplesError(f"{len(fakes)} pictures, at least {LEAST_GENERATED} are needed")
    distances, indices = nearest(fakes, reals, 1)
    among, _ = reals.own_nearest(1)
    unit = float(np.median(among)) or 1.0
    limit = float(np.quantile(among, QUANTILE))
    copied = int(np.count_nonzero(distances[:, 0] <= limit))
    return Memorization(share(copied, len(distances)), indices[:, 0], distances[:, 0] / unit, limit / unit)


SHOWN = 24  # pairs on the page


def _compute(comparison: FeatureComparison) -> Mapping[str, Estimate]:
    found = memorization(*comparison.points)
    comparison.notes.append(
        f"usual distance to the nearest real picture ({comparison.extractor.label}): {found.usual:.2f} of that between "
        "real pictures"
    )
    order = np.argsort(found.closeness, kind="stable")[:SHOWN]
    caption = (
        f"the {len(order)} generated pictures nearest to a real one (right of each), from "
        f"{found.closeness[order[0]]:.2f} of the usual distance between real ones on; {found.threshold:.2f} and less "
        "counts as a copy"
    )
    comparison.illustrations.append(PicturePairs("Nearest real pictures", order, found.nearest[order], caption))
    return {"copies": found.copies}


def _in_training(comparison: FeatureComparison) -> Mapping[str, Estimate]:
    if comparison.training is None:
        return {"copies": memorization(*comparison.points).copies}
    return {"copies": memorization(comparison.generated.features, comparison.training.features).copies}


def _against_itself(comparison: FeatureComparison) -> Mapping[str, float | None]:
    found = comparison.of_real_parts("memorization", lambda a, b: [memorization(a, b).copies.value])
    return by_key(("copies",), found)


METRIC = METRICS.register(
    "memorization",
    Metric(
        name="memorization",
        keys={"copies": "lower"},
        summary="copies of training pictures",
        reading="Copies: the share of generated pictures that are nearer to a real one than 95 of 100 real ones are to "
        "their own nearest; about 5 % is what fresh pictures reach.",
        label=lambda key, extractor: f"copies ({extractor})",
        compute=_compute,
        against_itself=_against_itself,
        in_training=_in_training,
        training_keys=("copies",),
    ),
    home=__name__,
)
