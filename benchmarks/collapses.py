"""Trainings that collapse on purpose, and healthy ones, small and short: their statistics are what the tests of
kaogan/training/failure_detector.py read.

python -m benchmarks.collapses --data SET [--runs RUN...] [--out tests/training/failure_detector.json]

SET is labelled with hair and eyes; RUN are folders of real, healthy runs whose statistics are added.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kaogan import api
from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.data import PictureSet
from kaogan.training import plots
from kaogan.training.failure_detector import RunFacts, find_failure
from kaogan.training.sampler import InfiniteSampler
from kaogan.training.state import build_train_state
from kaogan.training.step import GANTrainer

ROOT = Path(__file__).resolve().parent.parent
COMMON = {"image_size": 32, "run.device": "cpu", "run.precision": "fp32", "data.avatars": 1500}
G, D = "generator.", "discriminator."
NARROW: dict[str, Any] = {G + "width": 8, D + "width": 8}
WGAN = {G + "width": 16, G + "max_width": 32, D + "width": 16, D + "max_width": 32}
STYLE = {G + "w_dim": 16, "batch_size": 32}
STYLE |= {f"{side}{key}": value for side in (G, D) for key, value in (("channel_base", 256), ("channel_max", 16))}
LABELS = {"attributes.names": ["hair", "eyes"]}
Change = Callable[[PictureSet], PictureSet]


def one_picture(pictures: PictureSet) -> PictureSet:
    return replace(pictures, images=np.repeat(pictures.images[:1], len(pictures), 0))


def shuffled(pictures: PictureSet) -> PictureSet:
    return replace(pictures, labels=np.random.default_rng(0).permutation(pictures.labels))


def few(pictures: PictureSet) -> PictureSet:
    return replace(pictures, images=pictures.images[:100], labels=pictures.labels[:100], names=pictures.names[:100])


# Name: (recipe, overrides, what is done to the set).
PLANTED: dict[str, tuple[str, dict[str, Any], Change | None]] = {
    "bce, learning rate 0.5": ("dcgan", NARROW | {"optim.lr": 0.5}, None),
    "bce, the generator's learning rate 0.5": ("dcgan", NARROW | {"optim.generator.lr": 0.5}, None),
    "bce, the discriminator's learning rate 0.5": ("dcgan", NARROW | {"optim.discriminator.lr": 0.5}, None),
    "hinge, learning rate 0.5": ("sagan", NARROW | {"optim.lr": 0.5}, None),
    "wgan-gp, learning rate 0.5": ("wgan-gp", NARROW | {"optim.lr": 0.5}, None),
    "wgan-gp without its penalty": ("wgan-gp", NARROW | {"penalties.gradient_penalty.weight": 0.0}, None),
    "wgan-gp without its penalty, learning rate 0.005":
        ("wgan-gp", NARROW | {"penalties.gradient_penalty.weight": 0.0, "optim.lr": 5e-3}, None),
    "wgan-clip without clipping, learning rate 0.005":
        ("wgan-clip", WGAN | {"penalties.clip": 0.0, "optim.lr": 5e-3}, None),
    "bce, no norm in either network, the discriminator's learning rate 0.002":
        ("dcgan", NARROW | {G + "norm": "none", D + "norm": "none", "optim.discriminator.lr": 2e-3, "batch_size": 32},
         None),
    "bce, half of all labels flipped": ("dcgan", NARROW | {"objective.label_flip": 0.5}, None),
    "bce, R1 of weight 10,000": ("dcgan", NARROW | {"penalties.r1.weight": 1e4}, None),
    "bce, a latent of one number": ("dcgan", NARROW | {"latent.size": 1}, None),
    "one picture, many times": ("dcgan", NARROW, one_picture),
    "labels shuffled": ("acgan", NARROW | LABELS | {"batch_size": 32}, shuffled),
    "labels shuffled, hinge": ("acgan-small", NARROW | LABELS, shuffled),
    "100 pictures": ("dcgan", NARROW, few),
}  # fmt: skip
HEALTHY: dict[str, tuple[str, dict[str, Any]]] = {
    "acgan": ("acgan", NARROW | LABELS | {"batch_size": 32}),
    "acgan-small": ("acgan-small", NARROW | LABELS),
    "sagan": ("sagan", NARROW),
    "bamsgan": ("bamsgan", NARROW | {"batch_size": 64}),
    "wgan-gp": ("wgan-gp", NARROW),
    "wgan-gp-upsample": ("wgan-gp-upsample", NARROW),
    "wgan-clip": ("wgan-clip", WGAN),
    "stylegan2-64": ("stylegan2-64", STYLE),
    "acgan-avatars": ("acgan", NARROW | LABELS | {"batch_size": 32}),
    "acgan-small-avatars": ("acgan-small", NARROW | LABELS),
}
KEPT = ("clock", "loss_d", "adversarial_d", "adversarial_g", "real_score", "fake_score", "real_distance",
        "fake_distance", "real_saturated", "fake_saturated", "accuracy")  # fmt: skip


def statistics(recipe: Recipe, pictures: PictureSet) -> list[dict[str, float]]:
    """A line each 1,000 images, as a run's stats.jsonl has them."""
    cpu, batch = torch.device("cpu"), recipe.training.batch_size
    state = build_train_state(recipe, pictures.schema, cpu, "fp32")
    sampler = InfiniteSampler(pictures, batch, recipe.run.seed, recipe.data.horizontal_flip)
    trainer = GANTrainer(recipe, pictures.schema, state, sampler, cpu, "fp32")
    lines = []
    for clock in range(batch, recipe.training.images + 1, batch):
        trainer.step()
        state.images_seen = clock
        if clock // 1000 != (clock - batch) // 1000:
            lines.append({"clock": clock, **trainer.meters.take()})
    return lines


def entry(facts: RunFacts, lines: list[dict[str, Any]], planted: bool) -> dict[str, Any]:
    """What is kept of a run: facts that are not the default ones, the first failure that is seen, columns."""
    found = (find_failure(lines[: i + 1], facts) for i in range(len(lines)))
    usual = asdict(RunFacts())
    keys = dict.fromkeys(key for line in lines for key in line if key in KEPT or key.startswith("attributes_d/"))
    return {
        "facts": {key: value for key, value in asdict(facts).items() if value != usual[key]},
        "failure": next((failure.name for failure in found if failure), "nothing") if planted else None,
        "lines": {key: [_rounded(line.get(key)) for line in lines] for key in keys},
    }


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else float(f"{value:.4g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "training" / "failure_detector.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept: dict[str, Any] = {}
    for name, (recipe_name, overrides, change) in PLANTED.items():
        recipe = recipes.load(recipe_name, COMMON | {"training.images": 3072} | overrides)
        pictures = api.load_data(recipe, arguments.data)
        pictures = change(pictures) if change else pictures
        kept[name] = entry(RunFacts.of(recipe, pictures), statistics(recipe, pictures), planted=True)
        print(name, kept[name]["failure"], flush=True)
    for name, (recipe_name, overrides) in HEALTHY.items():
        recipe = recipes.load(recipe_name, COMMON | {"training.images": 4096} | overrides)
        pictures = api.load_data(recipe, None if name.endswith("avatars") else arguments.data)
        kept[f"{name} (healthy)"] = entry(RunFacts.of(recipe, pictures), statistics(recipe, pictures), planted=False)
    for run in arguments.runs:
        recipe = recipes.load(run / "recipe.yaml")
        lines = [line for line in plots.read_stats(run / "stats.jsonl") if "loss_d" in line]
        count = json.loads((run / "data.json").read_text(encoding="utf-8"))["count"]
        facts = RunFacts(recipe.objective.name, pictures=count, augmented=recipe.extras.augment.name != "none")
        kept[f"{recipe.name}, {round(lines[-1]['clock'], -3):,} images"] = entry(facts, lines, planted=False)
    rows = (f"{json.dumps(name)}: {json.dumps(each, separators=(',', ':'))}" for name, each in kept.items())
    arguments.out.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
