"""Measuring in other processes: each makes pictures, or is given some, and asks its own extractors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from kaogan.core.images import Pictures
from kaogan.core.worker_pool import WorkerPool, keep, own_device
from kaogan.evaluation.image_sources import MadeImages
from kaogan.metrics.collect import Collector, FeatureCollector, Looked, Measured, measure_batch
from kaogan.metrics.features import load_extractor


class LookInProcesses:
    """A ``Look`` of ``collect`` by the processes of ``pool``, each with extractors of its own: ``features`` are their
    words, ``device`` is not "auto"."""

    def __init__(self, pool: WorkerPool, features: Sequence[str], download: bool, device: str) -> None:
        self.pool, self.download, self.device = pool, download, device
        self.words = {word.partition("=")[0]: word for word in features}

    def __call__(self, batches: Iterable[Pictures | MadeImages], collectors: Sequence[Collector]) -> Looked:
        names = [collector.name for collector in collectors if isinstance(collector, FeatureCollector)]
        words = [self.words.get(name, name) for name in names]
        work = partial(look_there, words, self.download, self.device)
        for batch, (made, found) in self.pool.map(work, batches):
            pictures = made if isinstance(batch, MadeImages) else batch
            assert pictures is not None
            yield pictures, dict(zip(names, found, strict=True))


def look_there(
    words: Sequence[str], download: bool, device: str, batch: Pictures | MadeImages
) -> tuple[Pictures | None, list[Measured]]:
    """In a worker: the pictures, if they were made here, and what each extractor says of them."""
    pictures = batch() if isinstance(batch, MadeImages) else batch

    def measured(word: str) -> Measured:
        load = partial(load_extractor, word, download=download, device=own_device(device))
        return measure_batch(keep(f"features {word}", load), pictures)

    return (pictures if isinstance(batch, MadeImages) else None), [measured(word) for word in words]
