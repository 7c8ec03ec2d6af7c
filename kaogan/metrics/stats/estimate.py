"""What every metric asks of its features, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kaogan.core.errors import KaoganError


class TooFewSamplesError(KaoganError):
    """There are too few pictures for this metric; the others may still be computed."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    @classmethod
    def around(cls, value: float, margin: float, least: float = -np.inf, most: float = np.inf) -> Estimate:
        return cls(float(value), float(max(least, value - margin)), float(min(most, value + margin)))

    def overlaps(self, other: Estimate) -> bool:
        return self.low <= other.high and other.low <= self.high


def checked(features: np.ndarray, least: int, what: str = "pictures") -> np.ndarray:
    """Features (N, D) in float64. Raises KaoganError for NaN and infinity, TooFewSamplesError for less than
    ``least`` rows."""
    features = np.asarray(features)
    if features.ndim != 2:
        raise ValueError(f"features of shape (N, D) are needed, not {features.shape}")
    if len(features) < least:
        raise TooFewSamplesError(f"{len(features)} {what}, at least {least} are needed")
    finite = np.isfinite(features).all(1)
    if not finite.all():
        raise KaoganError(
            f"the features of {np.count_nonzero(~finite)} of {len(features)} {what} are not numbers "
            f"(first: number {int(np.argmin(finite))}); the extractor's weights or these pictures are damaged"
        )
    return features.astype(np.float64, copy=False)


def same_width(one: np.ndarray, other: np.ndarray) -> None:
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"features of different extractors: {one.shape[1]} and {other.shape[1]} numbers a picture")
