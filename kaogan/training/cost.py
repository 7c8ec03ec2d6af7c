"""What a recipe would cost, measured on a few steps of the very training."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil
import torch

from kaogan.config.recipe import Recipe
from kaogan.core.device import choose_device, describe
from kaogan.data import PictureSet
from kaogan.networks import count_parameters
from kaogan.training.numerics import numerics, training_precision
from kaogan.training.sampler import InfiniteSampler
from kaogan.training.state import build_train_state
from kaogan.training.step import GANTrainer


@dataclass(frozen=True)
class Cost:
    generator: int
    discriminator: int
    """Parameters."""
    images_per_second: float
    memory: int
    """Peak, bytes: of the accelerator if there is one, else of the process."""
    steps: int
    machine: str
    device: str
    precision: str


def estimate(recipe: Recipe, pictures: PictureSet, rounds: int = 2) -> Cost:
    """Take ``1 + rounds`` generator steps with the discriminator steps that belong to them; the first is not timed.

    A generator that grows is measured grown, when it is slowest.
    """
    device = choose_device(recipe.run.device)
    precision = training_precision(recipe, device)
    state = build_train_state(recipe, pictures.schema, device, precision)
    sampler = InfiniteSampler(
        pictures, recipe.training.batch_size, recipe.run.seed, recipe.data.horizontal_flip, device
    )
    trainer = GANTrainer(recipe, pictures.schema, state, sampler, device, precision)
    batch = recipe.training.batch_size
    state.images_seen = -(-getattr(recipe.generator, "grow_at", 0) // batch) * batch
    began = 0.0
    with numerics(recipe, device, precision):
        for number in range(1 + rounds):
            if number == 1:
                began = _now(device)
            for _ in range(recipe.training.n_critic):
                trainer.step()
                state.images_seen += batch
        seconds = _now(device) - began
    shown = rounds * recipe.training.n_critic * batch
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss
    return Cost(
        count_parameters(state.generator),
        count_parameters(state.discriminator),
        shown / seconds,
        memory,
        rounds,
        describe(device),
        str(device),
        precision,
    )


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
