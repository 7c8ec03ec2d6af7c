"""Diversity within a condition: the mean distance of pairs of pictures, over that of real pairs.

The mean distance between pairs of generated pictures with the same value of an attribute, over that between real ones:
1 is the variety of the real pictures, 0 one and the same face each time. Without attributes, all pictures are one
condition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from kaogan.core.rng import numpy_generator
from kaogan.metrics.comparison import FeatureComparison, positions_among
from kaogan.metrics.registry import METRICS, Metric
from kaogan.metrics.stats.estimate import Estimate, TooFewSamplesError, checked, same_width
from kaogan.metrics.stats.intervals import NORMAL

LEAST_PAIRS = 10


def pair_distances(features: np.ndarray, conditions: np.ndarray, seed: int = 0) -> dict[int, np.ndarray]:
    """Distances within disjoint random pairs of each condition >= 0; independent, so their mean has a plain error."""
    random = numpy_generator(seed, "metrics/diversity")
    found: dict[int, np.ndarray] = {}
    for condition in np.unique(conditions[conditions >= 0]):
        rows = random.permutation(np.flatnonzero(conditions == condition))
        pairs = rows[: len(rows) // 2 * 2].reshape(-1, 2)
        parts = [
            np.linalg.norm(checked(features[some[:, 0]], 1) - checked(features[some[:, 1]], 1), axis=1)
            for some in np.array_split(pairs, -(-len(pairs) // 8192))
        ] if len(pairs) else []  # fmt: skip
        if len(pairs) >= LEAST_PAIRS:
            found[int(condition)] = np.concatenate(parts)
    return found


def diversity(
    generated: np.ndarray,
    generated_conditions: np.ndarray,
    real: np.ndarray,
    real_conditions: np.ndarray,
    seed: int = 0,
) -> tuple[Estimate, dict[int, Estimate]]:
    """The mean over conditions, and each condition's ratio; features (N, D), conditions int (N,), -1 unknown.

    Intervals by the delta method for a ratio of two independent means. Raises TooFewSamplesError when no
    condition has ten pairs on both sides.
    """
    same_width(generated, real)
    fakes, reals = (
        pair_distances(generated, generated_conditions, seed),
        pair_distances(real, real_conditions, seed + 1),
    )
    each: dict[int, Estimate] = {}
    variances = []
    for condition in sorted(fakes.keys() & reals.keys()):
        a, b = fakes[condition], reals[condition]
        if not b.mean():
            continue
        ratio = float(a.mean() / b.mean())
        variance = (a.var(ddof=1) / len(a) + ratio**2 * b.var(ddof=1) / len(b)) / b.mean() ** 2
        each[condition] = Estimate.around(ratio, NORMAL * math.sqrt(variance), 0.0)
        variances.append(float(variance))
    if not each:
        raise TooFewSamplesError(f"fewer than {2 * LEAST_PAIRS} pictures of each condition on one side")
    mean = float(np.mean([estimate.value for estimate in each.values()]))
    return Estimate.around(mean, NORMAL * math.sqrt(sum(variances)) / len(variances), 0.0), each


def _compute(comparison: FeatureComparison) -> Mapping[str, Estimate]:
    """Within each value of each attribute that the model was asked for, else within all pictures."""
    generated, real = comparison.generated.features, comparison.real.features
    found = {}
    for column, attribute in enumerate(comparison.schema.attributes):
        conditions = _real_conditions(comparison, attribute.name, attribute.values)
        if conditions is None:
            continue
        try:
            mean, _ = diversity(generated, comparison.requested[:, column], real, conditions, comparison.seed)
        except TooFewSamplesError as error:
            comparison.notes.append(f"no diversity within {attribute.name}: {error}")
            continue
        found[f"diversity_{attribute.name}"] = mean
    if not found:
        nothing = np.zeros(len(generated), int), np.zeros(len(real), int)
        found["diversity"], _ = diversity(generated, nothing[0], real, nothing[1], comparison.seed)
    return found


def _real_conditions(comparison: FeatureComparison, name: str, values: Sequence[str]) -> np.ndarray | None:
    """The real pictures' positions among ``values``: by their labels, else as the tagger sees them."""
    pictures, known = comparison.pictures, comparison.extractor.attributes
    if pictures is not None and name in pictures.schema.names:
        labels = pictures.labels[:, pictures.schema.names.index(name)]
        return positions_among(labels, pictures.schema[name].values, values)
    if name in known and name in comparison.real.seen:
        return positions_among(comparison.real.seen[name], known[name], values)
    return None


def _against_itself(comparison: FeatureComparison) -> Mapping[str, float | None]:
    names = comparison.schema.names
    return {"diversity": 1.0, **{f"diversity_{name}": 1.0 for name in names}}


def _label(key: str, extractor: str) -> str:
    within = key.removeprefix("diversity").removeprefix("_")
    return f"diversity within {within} ({extractor})" if within else f"diversity ({extractor})"


METRIC = METRICS.register(
    "diversity",
    Metric(
        name="diversity",
        keys={"diversity": "higher", "diversity_": "higher"},
        summary="variety within one condition",
        reading="Diversity: the mean distance between two pictures of one condition, over that between real ones.",
        label=_label,
        compute=_compute,
        against_itself=_against_itself,
    ),
    home=__name__,
)
