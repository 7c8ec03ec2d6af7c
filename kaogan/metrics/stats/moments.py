"""Mean and covariance of features that need not fit into memory at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from kaogan.metrics.stats.estimate import checked

CHUNK = 4096  # rows turned to float64 at a time


@dataclass(frozen=True)
class Moments:
    """Count, mean (D,) and scatter (D, D), the sum of outer products about the mean; all float64."""

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Moments:
        """Features (N, D), N >= 1. Raises KaoganError for NaN."""
        return cls.merged(features[start : start + CHUNK] for start in range(0, len(features), CHUNK))

    @classmethod
    def merged(cls, chunks: Iterable[np.ndarray]) -> Moments:
        """The moments of a stream of features (n, D); memory is that of one chunk."""
        total: Moments | None = None
        for chunk in chunks:
            part = cls._whole(checked(chunk, 1))
            total = part if total is None else total.merge(part)
        if total is None:
            raise ValueError("no features")
        return total

    @classmethod
    def _whole(cls, features: np.ndarray) -> Moments:
        mean = features.mean(0)
        centred = features - mean
        return cls(len(features), mean, centred.T @ centred)

    def merge(self, other: Moments) -> Moments:
        """The moments of both samples together (Chan, Golub & LeVeque 1983)."""
        count = self.count + other.count
        difference = other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(difference, difference) * (self.count * other.count / count)
        return Moments(count, self.mean + difference * (other.count / count), scatter)

    @property
    def covariance(self) -> np.ndarray:
        """Unbiased, (D, D)."""
        return self.scatter / (self.count - 1)
