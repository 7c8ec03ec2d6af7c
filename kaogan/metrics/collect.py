"""One pass over a stream of pictures for everything that is to be known of them: features, attributes, statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from kaogan.core.images import Pictures
from kaogan.core.progress import Progress, no_progress
from kaogan.metrics.features import BATCH, Extractor, checked_batch

Arrays = dict[str, np.ndarray]


class Collector(Protocol):
    """What is gathered of a set of pictures, a batch at a time."""

    name: str
    fingerprint: str
    """Hex; changes when the arrays of the same pictures would come out differently."""

    def add(self, pictures: Pictures) -> None:
        """uint8 (n, H, W, C), n <= BATCH."""
        ...

    def arrays(self) -> Arrays:
        """Of all pictures that were added; what safetensors can hold."""
        ...


@dataclass(frozen=True)
class Measured:
    """Features float32 (N, D), and the attributes that the extractor saw: int64 (N,) positions by name."""

    features: np.ndarray
    seen: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features)

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Measured:
        seen = {name.removeprefix("seen/"): value for name, value in arrays.items() if name.startswith("seen/")}
        return cls(arrays["features"], seen)


def measure_batch(extractor: Extractor, pictures: Pictures) -> Measured:
    """Features of pictures uint8 (n, H, W, C), n <= BATCH, and the attributes that are seen in them."""
    if not extractor.attributes:
        return Measured(checked_batch(extractor, pictures))
    features, probabilities = extractor.features_and_attributes(pictures)
    return Measured(features, {name: values.argmax(1).astype(np.int64) for name, values in probabilities.items()})


class FeatureCollector:
    """Features of one extractor, and attributes where it sees any. Arrays: ``features``, ``seen/NAME``."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self.name, self.fingerprint = extractor.name, extractor.fingerprint
        self._parts: list[np.ndarray] = []
        self._seen: dict[str, list[np.ndarray]] = {name: [] for name in extractor.attributes}

    def add(self, pictures: Pictures) -> None:
        self.take(measure_batch(self.extractor, pictures))

    def take(self, measured: Measured) -> None:
        """What ``measure_batch`` says of a batch, perhaps in another process."""
        self._parts.append(measured.features)
        for name, seen in measured.seen.items():
            self._seen[name].append(seen)

    def arrays(self) -> Arrays:
        features = np.concatenate(self._parts) if self._parts else np.empty((0, self.extractor.size), np.float32)
        seen = {f"seen/{name}": np.concatenate(parts) for name, parts in self._seen.items() if parts}
        return {"features": features, **seen}


Looked = Iterator[tuple[Pictures, Mapping[str, Measured]]]
Look = Callable[[Iterable[Any], Sequence[Collector]], Looked]
"""Batches, and who wants to see them -> pictures uint8 (n, H, W, C), n <= BATCH, and what extractors say of them, by
name, if they have been asked already."""


def look_here(batches: Iterable[Pictures], collectors: Sequence[Collector]) -> Looked:
    """Pictures alone: the collectors ask their extractors themselves."""
    for pictures in batches:
        for start in range(0, len(pictures), BATCH):
            yield np.asarray(pictures[start : start + BATCH]), {}


def collect(
    batches: Iterable[Any], total: int, collectors: Sequence[Collector], progress: Progress = no_progress,
    what: str = "pictures", look: Look = look_here,
) -> list[Arrays]:  # fmt: skip
    """The arrays of each collector after one pass over ``total`` pictures, whose ``batches`` are such as ``look``
    takes."""
    done = 0
    for pictures, found in look(batches, collectors):
        for collector in collectors:
            if isinstance(collector, FeatureCollector) and collector.name in found:
                collector.take(found[collector.name])
            else:
                collector.add(pictures)
        done += len(pictures)
        progress(done, total, what)
    return [collector.arrays() for collector in collectors]


def measure(
    extractor: Extractor, batches: Iterable[Pictures], total: int, progress: Progress = no_progress,
    what: str = "pictures",
) -> Measured:  # fmt: skip
    """Features of one extractor over a stream of pictures."""
    return Measured.of(collect(batches, total, [FeatureCollector(extractor)], progress, what)[0])
