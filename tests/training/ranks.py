"""What one process of a group does: two steps of each recipe, and part of a run; the first writes down digests.

torchrun --standalone --nproc-per-node 4 -m tests.training.ranks OUT.json RUN IMAGES
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

from kaogan.core.distributed import Processes, join
from kaogan.training.sampler import InfiniteSampler
from kaogan.training.state import build_train_state
from kaogan.training.step import GANTrainer
from kaogan.training.train import train
from tests.small import small
from tests.training.conftest import make_pictures
from tests.training.runs import recipe as run_recipe

CPU = torch.device("cpu")
SHARDS: dict[str, Any] = {"training.shards": 4}
STEPS = 2
RECIPES: dict[str, dict[str, Any]] = {
    "dcgan": {},
    "acgan": {},
    "wgan-gp": {},
    "sagan": {"image_size": 32},
    "bamsgan": {"image_size": 32, "extras.replay.every": 8, "extras.replay.fraction": 0.5},
    "stylegan2-64": {
        "extras.augment.p": 0.5,
        "extras.augment.every": 1,
        "extras.style_mixing": 0.9,
        "extras.apa": {"p": 0.5, "target": 0.6, "every": 1},
        "extras.lecam.weight": 0.1,
    },
    "r3gan-64": {},
    "kao": {"discriminator.unfreeze_at": 8},
}


def digests(name: str, processes: Processes) -> dict[str, str]:
    """SHA-256 of every tensor of the checkpoint after two steps, and of its numbers."""
    recipe = small(name, **SHARDS, **RECIPES[name])
    pictures = make_pictures(size=recipe.image_size, labelled=bool(recipe.attributes.names))
    state = build_train_state(recipe, pictures.schema, CPU, "fp32")
    sampler = InfiniteSampler(pictures, recipe.training.batch_size, recipe.run.seed, recipe.data.horizontal_flip)
    trainer = GANTrainer(recipe, pictures.schema, state, sampler, CPU, "fp32", processes)
    for _ in range(STEPS):
        trainer.step()
        state.images_seen += recipe.training.batch_size
    tensors, numbers = state.state_dict()
    found = {key: hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest() for key, value in tensors.items()}
    assert processes.agree(float(int(hashlib.sha256(json.dumps(found).encode()).hexdigest()[:12], 16)))
    return found | {"numbers": json.dumps(numbers, sort_keys=True)}


def go_on(out: Path, images: int, processes: Processes) -> None:
    """Train the run in ``out`` up to so many images."""
    train(run_recipe(images, **SHARDS), make_pictures(), out, processes=processes)


def main() -> None:
    torch.set_num_threads(1)
    target, out, images = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    processes = join()
    found = {name: digests(name, processes) for name in RECIPES}
    go_on(out, images, processes)
    if processes.first:
        target.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
