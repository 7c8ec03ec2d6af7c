"""The order of the data: a function of (seed, images shown), so that a resumed run sees what it would have seen."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from kaogan.core.device import to_device
from kaogan.core.errors import UsageError
from kaogan.core.images import to_float
from kaogan.core.rng import numpy_generator
from kaogan.data import PictureSet
from kaogan.data.cache import fingerprint_of
from kaogan.data.shards.images import ShardedImages, part_of
from kaogan.training.order import ShuffledEpochs, WindowedEpochs

CPU = torch.device("cpu")


class Batch(NamedTuple):
    images: Tensor
    """float (N, C, H, W) in [-1, 1]"""
    labels: Tensor
    """int64 (N, K), -1 where unknown"""


def hold_out(pictures: PictureSet, share: float, seed: int) -> tuple[PictureSet, PictureSet | None]:
    """(what is trained on, what is measured against): a random part of the pictures, two at least, is kept apart.

    Both parts are copies in memory, but for a set in shards. Without a share nothing is, and the second one is None.
    """
    if not share:
        return pictures, None
    total = len(pictures)
    order = numpy_generator(seed, "data/held_out").permutation(total)
    count = held_out_count(total, share)
    return subset(pictures, np.sort(order[count:]), "trained"), subset(pictures, np.sort(order[:count]), "held out")


def held_out_count(total: int, share: float) -> int:
    """The number of pictures that ``hold_out`` keeps apart of ``total``."""
    return min(max(2, round(share * total)), total)


def subset(pictures: PictureSet, rows: np.ndarray, what: str) -> PictureSet:
    """Some of the pictures, ``rows`` in ascending order, as a set of their own that is known as ``what``."""
    names = tuple(pictures.names[row] for row in rows)
    typicality = None if pictures.typicality is None else pictures.typicality[rows]
    return replace(
        pictures, images=part_of(pictures.images, rows), labels=pictures.labels[rows], names=names,
        fingerprint=fingerprint_of(what, pictures.fingerprint, names), former_fingerprints=(), typicality=typicality,
    )  # fmt: skip


class InfiniteSampler:
    """Epochs without end, each a new permutation; a batch may cross from one epoch into the next.

    Pictures cross to ``device`` as uint8, a quarter of the bytes, and become floats there; labels stay on the host. For
    a card a thread reads the next batch into pinned memory meanwhile.

    Raises UsageError when the pictures do not fill one batch.
    """

    def __init__(
        self,
        pictures: PictureSet,
        batch_size: int,
        seed: int,
        flip: bool = False,
        device: torch.device = CPU,
    ) -> None:
        if len(pictures.images) < batch_size:
            raise UsageError(
                f"{pictures.source} has {len(pictures.images)} usable pictures, fewer than one batch of "
                f"{batch_size}; add pictures or lower --training.batch_size"
            )
        self.pictures, self.batch_size, self.seed, self.flip = pictures, batch_size, seed, flip
        self.device = device
        images = pictures.images
        # Shards have processes of their own that read ahead.
        alone = device.type == "cpu" or isinstance(images, ShardedImages)
        self._thread = None if alone else ThreadPoolExecutor(1, "pictures")
        self._reading: dict[tuple[int, int], Future[Tensor]] = {}
        self._order: ShuffledEpochs
        if isinstance(images, ShardedImages):
            self._order = WindowedEpochs(images.counts, seed)
        else:
            self._order = ShuffledEpochs(len(images), seed)

    def at(self, clock: int, shard: int = 0, shards: int = 1) -> Batch:
        """The batch that starts when ``clock`` images have been shown, or one of its ``shards``."""
        count = self.batch_size // shards
        where = self._order.rows(clock + shard * count, count)
        if isinstance(self.pictures.images, ShardedImages):
            self._read_ahead(self.pictures.images, clock + shard * count, count)
        purpose = "flip" if shards == 1 else f"flip/shard/{shard}"
        labels = torch.from_numpy(self.pictures.labels[where])
        read = self._reading.pop((clock, shard), None)
        pictures = read.result() if read else self._tensor(where, purpose, clock)
        if self._thread is not None:  # the same shard of the next batch, while the device works on this one
            following = clock + self.batch_size
            where = self._order.rows(following + shard * count, count)
            self._reading = {key: read for key, read in self._reading.items() if clock <= key[0] <= following}
            self._reading[following, shard] = self._thread.submit(self._tensor, where, purpose, following)
        return Batch(to_float(to_device(pictures, self.device)), labels)

    def _tensor(self, where: np.ndarray, purpose: str, clock: int) -> Tensor:
        pictures = torch.from_numpy(self._read(where, purpose, clock))
        return pictures.pin_memory() if self.device.type == "cuda" else pictures

    def extra(self, purpose: str, clock: int, count: int) -> np.ndarray:
        """Further pictures, uint8 (count, H, W, C), drawn without regard to the epoch."""
        where = numpy_generator(self.seed, f"data/{purpose}", clock).integers(len(self.pictures.images), size=count)
        return self._read(where, f"flip/{purpose}", clock)

    def _read_ahead(self, images: ShardedImages, position: int, count: int) -> None:
        """Let other processes decode what is shown at ``position`` of this batch and of those that follow."""
        for number in range(max(2, images.ahead * count // self.batch_size)):
            images.prefetch(self._order.rows(position + number * self.batch_size, count))
        if images.copies and isinstance(self._order, WindowedEpochs):
            now, following = self._order.shards(position)
            images.copies.want([images.index.shards[at] for at in (*now.tolist(), *following.tolist())])

    def _read(self, where: np.ndarray, purpose: str, clock: int) -> np.ndarray:
        images = self.pictures.images[where]
        if self.flip:
            mirrored = numpy_generator(self.seed, f"data/{purpose}", clock).random(len(where)) < 0.5
            images[mirrored] = images[mirrored, :, ::-1]
        return images
