"""A tiny run in a folder, and what is to be read there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kaogan.config.recipe import Recipe
from kaogan.core import checkpoint
from kaogan.core.training_loop import TrainResult
from kaogan.data import PictureSet
from kaogan.training.train import train as run_training
from tests.training.conftest import make_pictures
from tests.training.tiny import tiny

RUN = {
    "stats_every": 8,
    "grid_every": 24,
    "checkpoint_every": 16,
    "grid_pictures": 4,
    "device": "cpu",
    "precision": "fp32",
}


PASSED_ON = ("allow_changes", "on_progress", "on_stop", "minutes", "track")


def recipe(images: int = 48, **overrides: Any) -> Recipe:
    return tiny(**{"run": RUN, "training.images": images, "extras.instance_noise.amount": 0.1} | overrides)


def train(out: Path, *, pictures: PictureSet | None = None, **overrides: Any) -> TrainResult:
    keywords = {name: overrides.pop(name) for name in PASSED_ON if name in overrides}
    return run_training(recipe(**overrides), pictures or make_pictures(), out, **keywords)


def newest(out: Path) -> Path:
    return checkpoint.find(out / "checkpoints")[-1]


def contents(out: Path) -> dict[str, bytes]:
    """What must be the same however often a run was broken off: weights, states and pictures, not times."""
    tensors, state = checkpoint.load(newest(out))
    found = {f"checkpoint/{name}": tensor.numpy().tobytes() for name, tensor in tensors.items()}
    found["clock"] = str(state["clock"]).encode()
    for path in [
        out / "model/model.safetensors",
        out / "model/preview.png",
        out / "real.png",
        *(out / "grids").iterdir(),
    ]:
        found[str(path.relative_to(out))] = path.read_bytes()
    return found


def stats_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
