"""How much memory do the default metrics take at 100,000 pictures a side?

python -m benchmarks.memory --pictures 100000

Random features in the place of the tagger's, and a file of random pictures in that of the decoded set. A process's peak
is read after each metric. ``--blocks N`` computes only the first N blocks of each pass over all pairs (a pass of
100,000 x 100,000 is minutes): every block takes the same memory, so the peak stays what it is; the numbers do not.
"""

from __future__ import annotations

import itertools
import resource
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from kaogan.core.rng import numpy_generator
from kaogan.core.schema import Schema
from kaogan.data.dataset import PictureSet
from kaogan.metrics import density_coverage, mind
from kaogan.metrics.collect import Measured, measure
from kaogan.metrics.comparison import FeatureComparison
from kaogan.metrics.features.tagger import load
from kaogan.metrics.reference import Reference
from kaogan.metrics.registry import METRICS
from kaogan.metrics.stats import manifold, neighbors

LIMIT = 2e9


def main(
    pictures: Annotated[int, typer.Option(help="On each side.")] = 100_000,
    width: Annotated[int, typer.Option(help="Numbers of a feature vector; the tagger has 384.")] = 384,
    blocks: Annotated[int, typer.Option(help="Of each pass over all pairs; 0: all.")] = 0,
    looked_at: Annotated[int, typer.Option(help="Number of pictures for the tagger.")] = 100_000,
) -> None:
    print("| | peak, GB |\n|---|---|")
    log("start")
    extractor = load("tagger", None, False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures"
        with path.open("wb") as file:
            for start in range(pictures):
                file.write(bytes([start % 251]) * (64 * 64 * 3))
        images = np.memmap(path, np.uint8, "r", shape=(pictures, 64, 64, 3))
        real = PictureSet(images, np.empty((pictures, 0), np.int64), Schema(()), (), (), (), "random", "random")
        for batch in real.batches(64):
            if looked_at > 0:
                measure(extractor, [batch], len(batch))
            looked_at -= len(batch)
        log("every picture read, features of them")
        if blocks:
            shorten(blocks)
        reference = Reference(real, Path(folder))
        fake, other = (features(pictures, width, seed) for seed in (0, 1))
        comparison = FeatureComparison(
            extractor, Measured(fake), Measured(other), pictures=real, remember=partial(reference.remembered, extractor)
        )
        for _, metric in METRICS.items():
            if metric.needs == "features":
                metric.compute(comparison)
                metric.against_itself(comparison)
                log(metric.summary)


def features(count: int, width: int, seed: int) -> np.ndarray:
    drawn = np.empty((count, width), np.float32)
    random = numpy_generator(seed, "memory")
    for start in range(0, count, 4096):
        drawn[start : start + 4096] = random.standard_normal((min(4096, count - start), width)) + seed / 10
    return drawn


def shorten(most: int) -> None:
    """Leave every pass over all pairs after its first blocks, and every pass over directions."""
    whole: Any = neighbors.blocks

    def first(x: neighbors.Points, y: neighbors.Points) -> Iterator[tuple[slice, np.ndarray]]:
        return itertools.islice(whole(x, y), most)

    for module in (neighbors, manifold, density_coverage):
        module.blocks = first  # type: ignore[attr-defined]
    near: Any = neighbors.nearest

    def bounded(x: neighbors.Points, y: neighbors.Points, *words: Any, **more: Any) -> tuple[np.ndarray, np.ndarray]:
        distances, indices = near(x, y, *words, **more)
        return distances, indices % len(y)  # the rows that were left out hold anything

    neighbors.nearest = bounded
    slices: Any = mind._slices
    mind._slices = lambda *words: itertools.islice(slices(*words), most)


def log(what: str) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"| {what} | {peak / 1e9:.2f}{'' if peak < LIMIT else ' (too much)'} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
