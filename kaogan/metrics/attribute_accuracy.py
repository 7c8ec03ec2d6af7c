"""Does the tagger see the hair and the eyes that were asked for?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaogan.metrics.stats.estimate import Estimate, TooFew
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


def accuracy(asked: np.ndarray, seen: np.ndarray, values: tuple[str, ...]) -> Accuracy:
    """Indices into ``values``, (N,) each; pictures with -1 on either side don't count. Wilson's intervals.

    Raises TooFew when none is left.
    """
    known = (asked >= 0) & (seen >= 0)
    confusion = np.zeros((len(values), len(values)), np.int64)
    np.add.at(confusion, (asked[known], seen[known]), 1)
    total = int(confusion.sum())
    if not total:
        raise TooFew("no picture has a value of this attribute that the tagger knows")
    per_class = {
        value: share(int(row[number]), int(row.sum()))
        for number, (value, row) in enumerate(zip(values, confusion, strict=True))
        if row.sum()
    }
    return Accuracy(share(int(np.trace(confusion)), total), per_class, confusion, values)
