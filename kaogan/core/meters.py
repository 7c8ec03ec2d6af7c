"""Means of named numbers between two lines of the log, and the clock's multiples at which such lines are due."""

from __future__ import annotations

from torch import Tensor


class Meters:
    """Adds without waiting for the device at every step."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, value: Tensor) -> None:
        value = value.detach().float()
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._counts[name] = self._counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """The means since the last ``take``, by name."""
        return {name: float(total) / self._counts[name] for name, total in self._sums.items()}

    def take(self) -> dict[str, float]:
        """The means, and begin anew."""
        means = self.means()
        self._sums.clear()
        self._counts.clear()
        return means


def crosses_multiple(every: int, images_seen: int, batch_size: int) -> bool:
    """Whether the last ``batch_size`` of ``images_seen`` images reached a multiple of ``every``."""
    return images_seen // every != (images_seen - batch_size) // every
