"""What sharing a step costs and gains: one process with shards against a plain step, two processes against one.

python -m benchmarks.processes [--recipe dcgan] [--batch 64] [--seconds 60]

Two ratios. In one process, the step of ``training.shards 1`` takes turns with the same step without anything that
shards need; in two gloo processes of one thread each, steps of ``training.shards 2`` that both share take turns with
those that the first one takes alone while the other waits.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.launches import noise_pictures
from benchmarks.timing import Watch, interleaved
from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.device import choose_precision
from kaogan.core.distributed import ALONE, Processes, join
from kaogan.training.sampler import InfiniteSampler
from kaogan.training.state import build_train_state
from kaogan.training.step import GANTrainer

CPU = torch.device("cpu")
COST, GAIN = 1.01, 1.6  # the marks
LEAST = 3  # rounds


class WithoutShards:
    """In the place of a trainer's ``Shards``: a batch is one part, and nothing is done for it."""

    count, mine = 1, range(1)

    def purpose(self, purpose: str) -> str:
        return purpose

    def each(self, items: Iterable[Any]) -> Iterable[Any]:
        return items

    def gather(self, parts: Sequence[Tensor]) -> Tensor:
        return parts[0]

    def nothing(self, *_: Any) -> None:
        pass

    merge = collect = average = nothing


def stepper(recipe: Recipe, processes: Processes = ALONE, plain: bool = False) -> Callable[[], None]:
    """A call is one step of both networks on noise."""
    pictures, precision = noise_pictures(recipe), choose_precision(recipe.run.precision, CPU)
    state = build_train_state(recipe, pictures.schema, CPU, precision)
    sampler = InfiniteSampler(pictures, recipe.training.batch_size, recipe.run.seed)
    trainer = GANTrainer(recipe, pictures.schema, state, sampler, CPU, precision, processes)
    if plain:
        trainer.shards = WithoutShards()  # type: ignore[assignment]

    def step() -> None:
        trainer.step()
        state.images_seen += recipe.training.batch_size

    return step


def cost_of_one(recipe: Recipe, seconds: float) -> tuple[float, int, float]:
    """(time of a step with shards over that of a plain one, rounds, share of the machine that others used)."""
    timing = interleaved(
        {"plain": stepper(recipe, plain=True), "shards": stepper(recipe)}, 10_000, seconds, warm_up=LEAST
    )
    return timing.seconds["shards"] / timing.seconds["plain"], timing.repeats, timing.busy


def gain_of_two(args: argparse.Namespace) -> dict[str, float]:
    """What ``rank`` writes down, of two processes under torchrun."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "times.json"
        words = ["--recipe", args.recipe, "--batch", str(args.batch), "--seconds", str(args.seconds)]
        call = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        call += ["-m", "benchmarks.processes", *words, "--rank", str(target)]
        subprocess.run(call, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        return dict(json.loads(target.read_text()))


def rank(recipe: Recipe, seconds: float, target: Path) -> None:
    """One of the two: rounds of a step alone, which only the first one takes, and a step together."""
    torch.set_num_threads(1)
    processes = join()
    together, alone = stepper(recipe, processes), stepper(recipe)
    times: dict[str, list[float]] = {"alone": [], "together": []}
    for _ in range(LEAST):
        alone()
        together()
    began = time.perf_counter()
    with Watch() as watch:
        while len(times["together"]) < LEAST or not processes.any(time.perf_counter() - began > seconds):
            if processes.first:
                times["alone"].append(_seconds(alone))
            processes.wait()
            times["together"].append(_seconds(together))
    if processes.first:
        medians = {name: statistics.median(each) for name, each in times.items()}
        # The other process of this pair counts as one of the others: half of the machine while they work together.
        target.write_text(json.dumps({**medians, "rounds": len(times["together"]), "busy": watch.share}))


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="dcgan")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60, help="of each of the two measurements")
    parser.add_argument("--rank", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    recipe = recipes.load(args.recipe, {"training.batch_size": args.batch})
    shared = recipes.load(args.recipe, {"training.batch_size": args.batch, "training.shards": 2})
    if args.rank:
        rank(shared, args.seconds, args.rank)
        return
    print(f"{args.recipe}, {recipe.image_size} px, batches of {args.batch}", flush=True)
    cost, rounds, busy = cost_of_one(recipe, args.seconds)
    others = f"{rounds} rounds, others {busy:.0%}"
    print(f"one process: {cost:.4f} of a plain step (mark: at most {COST}); {others}", flush=True)
    found = gain_of_two(args)
    gain = found["alone"] / found["together"]
    print(
        f"two gloo processes of one thread: {gain:.2f} x one (mark: at least {GAIN}); {found['rounds']:.0f} rounds of "
        f"{found['alone']:.3f} s and {found['together']:.3f} s, others and the second process {found['busy']:.0%}"
    )


if __name__ == "__main__":
    main()
