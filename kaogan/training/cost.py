"""What a recipe would cost, measured on a few steps of the very training."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import psutil
import torch

from kaogan.config.recipe import Recipe
from kaogan.core.device import choose_device, describe
from kaogan.data import PictureSet
from kaogan.networks import count_parameters
from kaogan.training.numerics import numerics, training_precision
from kaogan.training.phases import build_phases
from kaogan.training.sampler import Batch, InfiniteSampler
from kaogan.training.state import build_train_state
from kaogan.training.step import GANTrainer

LONGEST_PERIOD = 10_000  # rounds that are looked at: of penalties at odd intervals a part


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

    Where a penalty is due only now and then, ``rounds`` are timed with it and without, and weigh as often as they come.
    A generator that grows is measured grown, when it is slowest.
    """
    device = choose_device(recipe.run.device)
    precision = training_precision(recipe, device)
    state = build_train_state(recipe, pictures.schema, device, precision)
    sampler = _InTurn(pictures, recipe.training.batch_size, recipe.run.seed, recipe.data.horizontal_flip, device)
    trainer = GANTrainer(recipe, pictures.schema, state, sampler, device, precision)
    batch, n_critic = recipe.training.batch_size, recipe.training.n_critic
    period, kinds = _kinds(recipe)
    grown = -(-getattr(recipe.generator, "grow_at", 0) // (batch * n_critic * period)) * period

    def timed(number: int) -> float:
        """Seconds of round ``number`` after the growth."""
        state.images_seen = (grown + number) * n_critic * batch
        began = _now(device)
        for _ in range(n_critic):
            trainer.step()
            state.images_seen += batch
        return _now(device) - began

    with numerics(recipe, device, precision):
        timed(0)
        seconds = 0.0
        for first, share in kinds:
            seconds += share * sum(timed(first + again * period) for again in range(1, 1 + rounds)) / rounds
    shown = n_critic * batch
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else psutil.Process().memory_info().rss
    return Cost(
        count_parameters(state.generator),
        count_parameters(state.discriminator),
        shown / seconds,
        memory,
        rounds * len(kinds),
        describe(device),
        str(device),
        precision,
    )


class _InTurn(InfiniteSampler):
    """The batches one after the other although the clock jumps: what is asked for is what was read ahead."""

    _asked = 0

    def at(self, clock: int, shard: int = 0, shards: int = 1) -> Batch:
        number, self._asked = self._asked // shards, self._asked + 1
        return super().at(number * self.batch_size, shard, shards)


def _kinds(recipe: Recipe) -> tuple[int, list[tuple[int, float]]]:
    """After how many rounds the losses that are due come again as before, and of each kind of round within them the
    first one and its share. A round is a generator step with the discriminator steps that belong to it."""
    phases, n_critic = build_phases(recipe), recipe.training.n_critic
    period = min(LONGEST_PERIOD, math.lcm(*(every for phase in phases for every in phase.losses.values())))
    found: dict[tuple[tuple[str, ...], ...], list[int]] = {}
    for number in range(period):
        batches = range(number * n_critic, (number + 1) * n_critic)
        due = tuple(tuple(phase.due_losses(at)) for at in batches for phase in phases if phase.is_due(at))
        found.setdefault(due, []).append(number)
    return period, [(rounds[0], len(rounds) / period) for rounds in found.values()]


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
