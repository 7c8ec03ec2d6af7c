"""Distances between features, a block at a time: memory does not grow with the square of the number of pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

BLOCK = 4_000_000  # distances held at once, 32 MB each time they are copied
KNOWN = 40  # neighbours of its own that a set remembers, as many as any metric asks for
# Below this share of |x|², |x|² + |y|² - 2 x·y has lost its digits and the difference is taken itself.
CANCELLED = 1e-9


class Points:
    """Features (N, D) as float64 about a common ``centre``, with their squared lengths; turned a block at a time."""

    def __init__(self, features: np.ndarray, centre: np.ndarray) -> None:
        self.features, self.centre = features, centre
        self._known: tuple[np.ndarray, np.ndarray] | None = None
        self.lengths = np.concatenate([_lengths(part) for _, part in self.parts(max(1, BLOCK // features.shape[1]))])

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        taken = self.features[rows].astype(np.float64)
        taken -= self.centre  # in place: of 100,000 pictures a second copy is 0.3 GB
        return taken

    def parts(self, rows: int) -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(self), rows):
            where = slice(start, min(start + rows, len(self)))
            yield where, self[where]

    def own_nearest(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """``nearest`` within the set, remembered for the next metric that asks."""
        if self._known is None or self._known[0].shape[1] < k:
            distances, indices = nearest(self, self, min(max(k, KNOWN), len(self) - 1), same=True)
            self._known = distances, indices.astype(np.int32)
        return self._known[0][:, :k], self._known[1][:, :k]


def points_of(*sets: np.ndarray) -> list[Points]:
    """The sets about the mean of the first: distances stay, and the products that they are made of get small."""
    centre = sets[0].mean(0, dtype=np.float64)
    return [Points(features, centre) for features in sets]


def blocks(x: Points, y: Points) -> Iterator[tuple[slice, np.ndarray]]:
    """Distances (n, M) of a few of ``x`` at a time to all of ``y``, with the rows that they are of."""
    width = y.features.shape[1]
    # Up to half a gigabyte in float64; beyond, parts of y are turned anew for each block.
    whole = y[:] if len(y) * width <= 16 * BLOCK else None
    for where, part in x.parts(max(1, BLOCK // max(1, len(y)))):
        squares = np.empty((len(part), len(y)))
        for columns, other in [(slice(0, len(y)), whole)] if whole is not None else y.parts(16 * BLOCK // width):
            squares[:, columns] = _squares(part, x.lengths[where], other, y.lengths[columns])
        yield where, np.sqrt(squares, out=squares)


def nearest(x: Points, y: Points, k: int, *, same: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Distances and indices (N, k) of the k nearest of ``y``, nearest first; ``same``: x is y, itself left out."""
    distances, indices = np.empty((len(x), k)), np.empty((len(x), k), np.int64)
    for where, block in blocks(x, y):
        if same:
            block[np.arange(len(block)), np.arange(where.start, where.stop)] = np.inf
        found, places = torch.topk(torch.from_numpy(block), k, dim=1, largest=False)
        distances[where], indices[where] = found.numpy(), places.numpy()
    return distances, indices


def _lengths(rows: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", rows, rows)


def _squares(x: np.ndarray, x_lengths: np.ndarray, y: np.ndarray, y_lengths: np.ndarray) -> np.ndarray:
    squares = x @ y.T
    squares *= -2
    squares += x_lengths[:, None]
    squares += y_lengths
    # Copies must be at distance 0 exactly, or <= and < would be decided by rounding.
    suspects = squares <= CANCELLED * x_lengths[:, None]
    if suspects.any():
        i, j = np.nonzero(suspects)
        for start in range(0, len(i), 65536):
            a, b = i[start : start + 65536], j[start : start + 65536]
            squares[a, b] = ((x[a] - y[b]) ** 2).sum(1)
    return np.maximum(squares, 0, out=squares)
