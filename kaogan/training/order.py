"""The shuffled order of a set: a function of (seed, place in the order), computed for the part that is asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from kaogan.core.rng import numpy_generator

WINDOW = 100_000  # pictures that are shuffled with each other in a set of shards
_KEPT = 3  # shuffled parts: a batch may cross from one into the next, and reading ahead looks at it before


class ShuffledEpochs:
    """Each epoch is a permutation of all pictures."""

    def __init__(self, total: int, seed: int) -> None:
        self.total, self.seed = total, seed
        self._parts: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()

    def rows(self, start: int, count: int) -> np.ndarray:
        """int64 (count,): the pictures at the places ``start`` and following, epochs without end."""
        parts = []
        while count:
            epoch, offset = divmod(start, self.total)
            part, begin = self._part(epoch, offset)
            taken = part[offset - begin : offset - begin + count]
            parts.append(taken)
            start, count = start + len(taken), count - len(taken)
        return np.concatenate(parts)

    def _part(self, epoch: int, offset: int) -> tuple[np.ndarray, int]:
        """A shuffled part of the epoch that holds the place ``offset``, and the place at which it begins."""
        return self._kept(epoch, 0), 0

    def _kept(self, epoch: int, number: int) -> np.ndarray:
        key = epoch, number
        if key not in self._parts:
            self._parts[key] = self._shuffled(epoch, number)
            if len(self._parts) > _KEPT:
                self._parts.popitem(last=False)
        self._parts.move_to_end(key)
        return self._parts[key]

    def _shuffled(self, epoch: int, number: int) -> np.ndarray:
        return numpy_generator(self.seed, "data/order", epoch).permutation(self.total)


class WindowedEpochs(ShuffledEpochs):
    """Each epoch is a permutation in which only some shards are in use at a time.

    The shards are shuffled and cut into windows of at least ``window`` pictures; the pictures of a window are shuffled
    with each other. So storage that is slow to reach is read shard by shard, and memory does not grow with the set.
    """

    def __init__(self, counts: Sequence[int] | np.ndarray, seed: int, window: int = WINDOW) -> None:
        self.counts, self.window = np.asarray(counts, np.int64), window
        super().__init__(int(self.counts.sum()), seed)
        self._starts = np.cumsum(self.counts) - self.counts
        self._cut: OrderedDict[int, tuple[list[np.ndarray], np.ndarray]] = OrderedDict()

    def shards(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        """The shards of the window that holds the place ``start`` of the order, and those of the next."""
        epoch, offset = divmod(start, self.total)
        windows, ends = self._windows(epoch)
        number = int(np.searchsorted(ends, offset, side="right"))
        following = windows[number + 1] if number + 1 < len(windows) else self._windows(epoch + 1)[0][0]
        return windows[number], following

    def _part(self, epoch: int, offset: int) -> tuple[np.ndarray, int]:
        _, ends = self._windows(epoch)
        number = int(np.searchsorted(ends, offset, side="right"))
        return self._kept(epoch, number), int(ends[number - 1]) if number else 0

    def _shuffled(self, epoch: int, number: int) -> np.ndarray:
        shards = self._windows(epoch)[0][number]
        rows = np.concatenate([np.arange(self.counts[at], dtype=np.int64) + self._starts[at] for at in shards])
        return numpy_generator(self.seed, f"data/window/{number}", epoch).permutation(rows)

    def _windows(self, epoch: int) -> tuple[list[np.ndarray], np.ndarray]:
        """The shards of each window, and the place in the epoch where it ends."""
        if epoch not in self._cut:
            shards = numpy_generator(self.seed, "data/shards", epoch).permutation(len(self.counts))
            windows, ends, first, held = list[np.ndarray](), list[int](), 0, 0
            for at, count in enumerate(self.counts[shards].tolist(), 1):
                held += count
                if held - (ends[-1] if ends else 0) >= self.window or at == len(shards):
                    windows.append(shards[first:at])
                    ends.append(held)
                    first = at
            self._cut[epoch] = windows, np.array(ends, np.int64)
            if len(self._cut) > _KEPT:
                self._cut.popitem(last=False)
        return self._cut[epoch]
