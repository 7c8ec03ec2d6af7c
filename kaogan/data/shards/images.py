"""The pictures of a sharded set as an array that is decoded where it is indexed, ahead of time in other processes."""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from typing import Any

import numpy as np

from kaogan.core.errors import KaoganError
from kaogan.core.worker_pool import begin_worker
from kaogan.data.cache import cores
from kaogan.data.shards.copies import ShardCopies
from kaogan.data.shards.index import ShardIndex
from kaogan.data.shards.reading import Place, Reader

MAX_WORKERS = 8
AHEAD = 4  # batches a process that are decoded before they are asked for
_MOST_WAITING = 64  # batches: more were begun at another place in the order and are no longer wanted
_STREAMED = 64  # pictures decoded together when all are gone through


class ShardedImages:
    """uint8 (N, S, S, C) that lies in shards. Indexing gives arrays as NumPy's own would, made anew each time.

    ``prefetch`` begins to decode rows that will be asked for; ``workers`` is the number of processes that do so, 0 for
    none (rows are then decoded when they are asked for). Rows are the same whatever their number.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(
        self, index: ShardIndex, reader: Reader, workers: int | None = None, copies: ShardCopies | None = None
    ) -> None:
        self.index, self.reader, self.copies = index, reader, copies
        self.shape = (len(index), reader.image_size, reader.image_size, reader.channels)
        self.workers = _default_workers() if workers is None else workers
        self.counts = np.array([shard.count for shard in index.shards], np.int64)
        self._ends = np.cumsum(self.counts)
        self._rows: np.ndarray | None = None  # of the index, where only some are meant
        self._pool: Executor | None = None
        self._waiting: OrderedDict[bytes, Future[np.ndarray]] = OrderedDict()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        first, rest = (index[0], index[1:]) if isinstance(index, tuple) else (index, ())
        if isinstance(first, int | np.integer):
            found = self._decoded(np.array([range(len(self))[int(first)]], np.int64))[0]
        else:
            rows = np.arange(len(self))[first]
            found = self._decoded(rows.reshape(-1)).reshape(*rows.shape, *self.shape[1:])
            rest = (*(slice(None),) * rows.ndim, *rest) if rest else ()
        return found[rest] if rest else found

    def __iter__(self) -> Iterator[np.ndarray]:
        starts = range(0, len(self), _STREAMED)
        for part in self.stream(np.arange(start, min(start + _STREAMED, len(self))) for start in starts):
            yield from part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = self[:]
        return whole if dtype is None else whole.astype(dtype)

    def stream(self, parts: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """The pictures of each array of rows, in order, with some decoded ahead."""
        waiting: list[np.ndarray] = []
        for rows in parts:
            self.prefetch(rows)
            waiting.append(rows)
            if len(waiting) > self.ahead:
                yield self[waiting.pop(0)]
        for rows in waiting:
            yield self[rows]

    def subset(self, rows: np.ndarray) -> ShardedImages:
        """Some of the pictures, ``rows`` in ascending order, as a set of their own; shards keep their numbers."""
        part = ShardedImages(self.index, self.reader, self.workers, self.copies)
        part._rows = rows if self._rows is None else self._rows[rows]
        part.shape = (len(rows), *self.shape[1:])
        part.counts = np.bincount(np.searchsorted(self._ends, part._rows, side="right"), minlength=len(self._ends))
        return part

    @property
    def ahead(self) -> int:
        """How many parts are worth being prefetched."""
        return AHEAD * self.workers

    def prefetch(self, rows: np.ndarray) -> None:
        """Begin to decode these rows; does nothing where there are no processes, or it has begun before."""
        if not self.workers or (key := rows.tobytes()) in self._waiting:
            return
        with suppress(BrokenExecutor, RuntimeError):  # then they are decoded when they are asked for
            self._waiting[key] = self._executor().submit(self.reader.decode, self.places(rows))
        while len(self._waiting) > max(_MOST_WAITING, 2 * self.ahead):
            self._waiting.popitem(last=False)[1].cancel()

    def _decoded(self, rows: np.ndarray) -> np.ndarray:
        future = self._waiting.pop(rows.tobytes(), None)
        if future is not None:
            try:
                return future.result()
            except KaoganError:
                raise
            except Exception:  # its process was killed: that costs time, not the run
                self._forget_pool()
        return self.reader.decode(self.places(rows))

    def places(self, rows: np.ndarray) -> list[Place]:
        """Where the pictures of some rows lie."""
        rows = rows.astype(np.int64, copy=False) if self._rows is None else self._rows[rows]
        shards = np.searchsorted(self._ends, rows, side="right").tolist()
        columns = (column[rows].tolist() for column in (self.index.offset, self.index.size, self.index.checksum))
        return [Place(self.index.shards[shard].name, *place) for shard, *place in zip(shards, *columns, strict=True)]

    def _executor(self) -> Executor:
        """Processes that, unlike multiprocessing's, do not import the caller's script, so a script needs no guard."""
        if self._pool is None:
            from loky import ProcessPoolExecutor

            environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            pool = ProcessPoolExecutor(self.workers, initializer=begin_worker, initargs=(os.getpid(),), env=environment)
            self._pool = pool
            weakref.finalize(self, pool.shutdown, wait=False, kill_workers=True)
        assert self._pool is not None
        return self._pool

    def _forget_pool(self) -> None:
        self._waiting.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, kill_workers=True)  # type: ignore[call-arg]
            self._pool = None


def _default_workers() -> int:
    """One less than the cores, shared by the processes that torchrun started on this machine."""
    return min(MAX_WORKERS, max(1, (cores() - 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def part_of(images: Any, rows: np.ndarray) -> Any:
    """Some pictures of an array, copied, or of a set in shards, which stay where they are; ``rows`` ascend."""
    return images.subset(rows) if isinstance(images, ShardedImages) else images[rows]
