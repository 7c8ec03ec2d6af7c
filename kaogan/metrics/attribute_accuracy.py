"""Accuracy of attributes: the share of pictures in which the tagger sees the value that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kaogan.metrics.comparison import ConfusionTable, FeatureComparison, positions_among
from kaogan.metrics.registry import METRICS, Metric
from kaogan.metrics.stats.estimate import Estimate, TooFewSamplesError
from kaogan.metrics.stats.intervals import share


@dataclass(frozen=True)
class Accuracy:
    """Of one attribute."""

    accuracy: Estimate
    per_class: dict[str, Estimate]
    """Values of which at least one picture was asked for."""
    confusion: np.ndarray
    """int64 (V, V): rows are what was asked for, columns what was seen."""
    values: tuple[str, ...]


def accuracy(requested: np.ndarray, seen: np.ndarray, values: tuple[str, ...]) -> Accuracy:
    """Indices into ``values``, (N,) each; pictures with -1 on either side don't count. Wilson's intervals.

    Raises TooFewSamplesError when none is left.
    """
    known = (requested >= 0) & (seen >= 0)
    confusion = np.zeros((len(values), len(values)), np.int64)
    np.add.at(confusion, (requested[known], seen[known]), 1)
    total = int(confusion.sum())
    if not total:
        raise TooFewSamplesError("no picture has a value of this attribute that the tagger knows")
    per_class = {
        value: share(int(row[number]), int(row.sum()))
        for number, (value, row) in enumerate(zip(values, confusion, strict=True))
        if row.sum()
    }
    return Accuracy(share(int(np.trace(confusion)), total), per_class, confusion, values)


def _compute(comparison: FeatureComparison) -> Mapping[str, Estimate]:
    """Only what the extractor knows can be right or wrong."""
    found = {}
    known = comparison.extractor.attributes
    for column, attribute in enumerate(comparison.schema.attributes):
        if attribute.name not in known:
            if known:
                comparison.notes.append(f"the tagger knows nothing of '{attribute.name}': no accuracy")
            continue
        values = tuple(known[attribute.name])
        requested = positions_among(comparison.requested[:, column], attribute.values, values)
        try:
            one = accuracy(requested, comparison.generated.seen[attribute.name], values)
        except TooFewSamplesError as error:
            comparison.notes.append(f"no accuracy of '{attribute.name}': {error}")
            continue
        title = f"{attribute.name}: asked for, and seen by the tagger"
        comparison.illustrations.append(ConfusionTable(title, one.confusion, values))
        found[f"accuracy_{attribute.name}"] = one.accuracy
    return found


def _against_itself(comparison: FeatureComparison) -> Mapping[str, float | None]:
    """What the tagger makes of the labels of the real pictures, where they have any."""
    found: dict[str, float | None] = {}
    pictures, known = comparison.pictures, comparison.extractor.attributes
    for attribute in comparison.schema.attributes:
        name = attribute.name
        if pictures is None or name not in known or name not in pictures.schema.names:
            continue
        if name not in comparison.real.seen:
            continue
        values = tuple(known[name])
        labels = pictures.labels[:, pictures.schema.names.index(name)]
        try:
            positions = positions_among(labels, pictures.schema[name].values, values)
            found[f"accuracy_{name}"] = accuracy(positions, comparison.real.seen[name], values).accuracy.value
        except TooFewSamplesError:
            continue
    return found


METRIC = METRICS.register(
    "attributes",
    Metric(
        name="attributes",
        keys={"accuracy_": "higher"},
        summary="whether the attributes asked for are seen",
        reading="As asked: the share of pictures in which the tagger sees the value that the model was asked for.",
        label=lambda key, extractor: f"{key.removeprefix('accuracy_')} as asked",
        compute=_compute,
        against_itself=_against_itself,
        features="tagger",
    ),
    home=__name__,
)
