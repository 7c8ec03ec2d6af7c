"""Measurements that need a process of their own: ``python -m benchmarks.fresh start|memory|train|loader ...``.

The last line printed is JSON. Settings are keywords: ``recipe=dcgan images=640 data=PATH``.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.timing import Watch
from kaogan import api
from kaogan.config import recipes
from kaogan.training.run_logger import RunLogger
from kaogan.training.step import GANTrainer
from kaogan.training.train import GANLoop
from kaogan.training.train import train as run_training

AVATARS = 12_000


def start(data: str | None = None, recipe: str = "dcgan", **_: Any) -> dict[str, float]:
    """Seconds from here, where the imports are done, to the end of the first step, on pictures in the cache."""

    class FirstStep(Exception):  # noqa: N818 - nothing is wrong
        pass

    generator, began = GANTrainer.generator_step, time.perf_counter()

    def first_step(self: GANTrainer, *arguments: Any) -> None:
        generator(self, *arguments)
        raise FirstStep

    GANTrainer.generator_step = first_step  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder, Watch() as watch:
        resolved = recipes.load(recipe, {"batch_size": 64, "data.avatars": AVATARS})
        try:
            run_training(resolved, api.load_data(resolved, data), Path(folder) / "run")
        except FirstStep:
            seconds = time.perf_counter() - began
    return {"seconds": seconds, "busy": watch.share}


def memory(data: str | None = None, recipe: str = "dcgan", images: str = "640", **_: Any) -> dict[str, float]:
    """The peak of the process's memory in GB, over a short run with a grid, a checkpoint and the films."""
    with tempfile.TemporaryDirectory() as folder:
        resolved = recipes.load(recipe, {"batch_size": 64, "images": int(images), "data.avatars": AVATARS})
        run_training(resolved, api.load_data(resolved, data), Path(folder) / "run")
    return {"gigabytes": peak() / 1e9}


def peak() -> int:
    """Peak memory of this process, bytes; Linux's ru_maxrss would count that of the parent before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def train(data: str | None = None, recipe: str = "dcgan", images: str = "1280", **_: Any) -> dict[str, Any]:
    """Where the time of a run goes: the two steps, what each kind of output costs, and all the rest."""
    seconds: dict[str, float] = {}
    counts: dict[str, int] = {}
    for owner, name in (
        (GANTrainer, "discriminator_step"),
        (GANTrainer, "generator_step"),
        (RunLogger, "log_stats"),
        (RunLogger, "save_grid"),
        (RunLogger, "save_model"),
        (GANLoop, "save_checkpoint"),
    ):
        setattr(owner, name, _timed(getattr(owner, name), name, seconds, counts))
    settings = {"batch_size": 64, "images": int(images), "data.avatars": AVATARS}
    # A grid and a checkpoint in the middle, and others at the end, give their cost; the published cadence their share.
    often = {"run.grid_every": int(images) // 2, "run.checkpoint_every": int(images) // 2}
    published, resolved = recipes.load(recipe, settings), recipes.load(recipe, settings | often)
    pictures, marks = api.load_data(resolved, data), dict[str, float]()
    RunLogger.open = _marked(RunLogger.open, marks, "begun")  # type: ignore[method-assign]
    RunLogger.close = _marked(RunLogger.close, marks, "ended")  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder, Watch() as watch:
        run_training(resolved, pictures, Path(folder) / "run")
    between = marks["ended"] - marks["begun"]
    steps = seconds["discriminator_step"] + seconds["generator_step"]
    shown = counts["discriminator_step"] * 64
    intervals = {"log_stats": published.run.stats_every, "save_grid": published.run.grid_every}
    intervals |= dict.fromkeys(("save_model", "save_checkpoint"), published.run.checkpoint_every)
    each = {name: seconds[name] / counts[name] for name in intervals}
    return {
        "step": steps / counts["discriminator_step"],
        "each": each,
        "at every step": (between - sum(seconds.values())) / steps,
        "at intervals": {name: each[name] / interval / (steps / shown) for name, interval in intervals.items()},
        "busy": watch.share,
    }


def loader(folder: str, image_size: str = "64", workers: str = "2", **_: Any) -> dict[str, float]:
    """Pictures a second: kaogan's decoding into an empty cache against an epoch of the reference's DataLoader."""
    from benchmarks import reference

    size = int(image_size)
    with Watch() as watch:
        batches = reference.loader(Path(folder), size, 64, int(workers))
        began = time.perf_counter()
        theirs = sum(len(batch) for batch in batches) / (time.perf_counter() - began)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as cache:
            pictures = api.load_pictures(folder, image_size=size, cache=Path(cache))
            ours = len(pictures) / (time.perf_counter() - began)
    return {"reference": theirs, "kaogan": ours, "busy": watch.share}


def _timed(
    function: Callable[..., Any], name: str, seconds: dict[str, float], counts: dict[str, int]
) -> Callable[..., Any]:
    def timed(*arguments: Any, **keywords: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **keywords)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began
            counts[name] = counts.get(name, 0) + 1

    return timed


def _marked(function: Callable[..., Any], marks: dict[str, float], name: str) -> Callable[..., Any]:
    """Note when ``begin`` has returned, and when ``end`` is called."""

    def marked(*arguments: Any, **keywords: Any) -> Any:
        if name == "ended":
            marks[name] = time.perf_counter()
        result = function(*arguments, **keywords)
        marks.setdefault(name, time.perf_counter())
        return result

    return marked


if __name__ == "__main__":
    what = {"start": start, "memory": memory, "train": train, "loader": loader}[sys.argv[1]]
    print(json.dumps(what(**dict(word.split("=", 1) for word in sys.argv[2:]))))
