"""Means of named numbers between two lines of the log, and when such lines are due: by the clock, and by the time."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor


class Meters:
    """Adds without waiting for the device at every step."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, Tensor | int] = {}

    def add(self, name: str, value: Tensor, count: Tensor | None = None) -> None:
        """``value``, a mean of ``count`` things, weighs as much as they are; without a count it weighs 1."""
        value = value.detach().float()
        total = value if count is None else value * count
        self._sums[name] = self._sums[name] + total if name in self._sums else total
        self._counts[name] = self._counts.get(name, 0) + (1 if count is None else count)

    def means(self) -> dict[str, float]:
        """The means since the last ``take``, by name; 0 of nothing."""
        return {name: float(total) / (float(self._counts[name]) or 1.0) for name, total in self._sums.items()}

    def take(self) -> dict[str, float]:
        """The means, and begin anew."""
        means = self.means()
        self._sums.clear()
        self._counts.clear()
        return means


class Pace:
    """How long events of each kind take: at most ``share`` of the time."""

    def __init__(self, share: float) -> None:
        self.share, self.began = share, time.monotonic()
        self.taken: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.taken[kind] += time.monotonic() - began

    def is_late(self, kind: str) -> bool:
        """Whether events of this kind have had their share of the time."""
        return self.taken[kind] > 0 and self.taken[kind] > self.share * (time.monotonic() - self.began)


def crosses_multiple(every: int, images_seen: int, batch_size: int) -> bool:
    """Whether the last ``batch_size`` of ``images_seen`` images reached a multiple of ``every``."""
    return images_seen // every != (images_seen - batch_size) // every
