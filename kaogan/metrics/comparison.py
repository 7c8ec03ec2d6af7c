"""What a metric compares: generated pictures and real ones, as features of one extractor or as collected arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from kaogan.core.rng import numpy_generator
from kaogan.core.schema import Schema
from kaogan.data import PictureSet
from kaogan.metrics.collect import Arrays, Measured
from kaogan.metrics.features import Extractor
from kaogan.metrics.stats.estimate import TooFewSamplesError
from kaogan.metrics.stats.manifold import pair_of
from kaogan.metrics.stats.neighbors import Points

Remember = Callable[[list[object], Callable[[], Any]], Any]


def _compute_anew(what: list[object], compute: Callable[[], Any]) -> Any:
    return compute()


@dataclass(frozen=True)
class PicturePairs:
    """Generated pictures, each beside a real one, for the page."""

    title: str
    generated: np.ndarray  # int64 (K,): which ones
    real: np.ndarray  # int64 (K,)
    caption: str


@dataclass(frozen=True)
class ConfusionTable:
    """Counts by what was asked for (rows) and what was seen (columns), for the page."""

    title: str
    counts: np.ndarray  # int64 (V, V)
    values: Sequence[str]


Illustration = PicturePairs | ConfusionTable


@dataclass
class FeatureComparison:
    """Generated and real features of one extractor."""

    extractor: Extractor
    generated: Measured
    real: Measured
    seed: int = 0
    schema: Schema = field(default_factory=lambda: Schema(()))
    """The attributes of the generated pictures."""
    requested: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.int64))
    """int64 (N, K) positions, -1 unknown."""
    pictures: PictureSet | None = None
    """The real ones, for their labels."""
    remember: Remember = _compute_anew
    notes: list[str] = field(default_factory=list)
    illustrations: list[Illustration] = field(default_factory=list)
    training: Measured | None = None
    """Those that the generator was trained on, where ``real`` are others."""

    @cached_property
    def points(self) -> tuple[Points, Points]:
        """Of the generated and the real pictures, for the metrics that look for neighbours."""
        return pair_of(self.generated.features, self.real.features)

    @cached_property
    def real_parts(self) -> tuple[Points, Points]:
        """Of two disjoint parts of the real pictures: as many as were generated, at most half; and the rest."""
        order = numpy_generator(self.seed, "evaluate/halves").permutation(len(self.real))
        part, rest = np.sort(order[: self.part_size]), np.sort(order[self.part_size :])
        return pair_of(self.real.features[part], self.real.features[rest])

    @property
    def part_size(self) -> int:
        return min(len(self.generated), len(self.real) // 2)

    def of_real_parts(
        self, name: str, compute: Callable[[Points, Points], Sequence[float | None]]
    ) -> Sequence[float | None]:
        """``compute(part, rest)`` of the real features, remembered under ``name``; empty where they are too few."""

        def work() -> list[float | None]:
            try:
                return list(compute(*self.real_parts))
            except TooFewSamplesError:
                return []

        return list(self.remember(["against itself", name, self.part_size, self.seed], work))


@dataclass
class PictureComparison:
    """What one collector made of the generated and of the real pictures."""

    generated: Arrays
    real: Arrays
    seed: int = 0
    notes: list[str] = field(default_factory=list)
    illustrations: list[Illustration] = field(default_factory=list)


def positions_among(labels: np.ndarray, values: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """Positions among ``values`` -> positions among ``known``, -1 where there is no such value."""
    table = np.array([*(known.index(value) if value in known else -1 for value in values), -1], np.int64)
    return table[labels]


def by_key(names: Sequence[str], values: Sequence[float | None]) -> Mapping[str, float | None]:
    return dict(zip(names, values, strict=False))
