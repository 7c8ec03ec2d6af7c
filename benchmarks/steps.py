"""One step of both state, without what is around it, kaogan against the plain loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Any

import torch

from benchmarks import reference
from benchmarks.timing import Timing, interleaved
from kaogan import api
from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.device import choose_precision
from kaogan.training.sampler import Batch, InfiniteSampler
from kaogan.training.state import build_train_state
from kaogan.training.step import GANTrainer

CPU = torch.device("cpu")
BATCH = 64
BATCHES = 4  # kept in memory
PAIR = ("reference", "kaogan")


class Ours:
    """kaogan's steps on pictures in memory, the way ``training.train`` takes them."""

    def __init__(self, recipe: Recipe, precision: str | None = None) -> None:
        pictures = api.load_data(recipe)
        precision = precision or choose_precision("auto", CPU)
        self.recipe = recipe
        self.state = build_train_state(recipe, pictures.schema, CPU, precision)
        batches = InfiniteSampler(pictures, recipe.training.batch_size, recipe.run.seed)
        self.steps = GANTrainer(recipe, pictures.schema, self.state, batches, CPU, precision)
        self.batches: Iterator[Batch] = cycle([batches.at(i * recipe.training.batch_size) for i in range(BATCHES)])

    def discriminator(self) -> None:
        self.steps.discriminator_step([next(self.batches)])
        self.state.images_seen += self.recipe.training.batch_size

    def generator(self) -> None:
        self.steps.generator_step([next(self.batches)])

    def both(self) -> None:
        batch, reuse = next(self.batches), self.recipe.training.reuse_fakes
        fakes = self.steps.discriminator_step([batch], reuse=reuse)
        self.steps.generator_step([batch], fakes if reuse else None)
        self.state.images_seen += self.recipe.training.batch_size


def load(name: str, **overrides: Any) -> Recipe:
    return recipes.load(name, {"batch_size": BATCH, "data.avatars": 512, **overrides})


def dcgan(repeats: int, seconds: float) -> Timing:
    ours = Ours(load("dcgan"))
    generator, discriminator = reference.Generator(), reference.Discriminator()
    reference.copy_weights(ours.state.generator, generator)
    reference.copy_weights(ours.state.discriminator, discriminator)
    theirs = reference.DCGANLoop(generator, discriminator)
    reals = plain(ours)
    return interleaved(
        {"reference": lambda: theirs.step(next(reals), torch.randn(BATCH, 100)), "kaogan": ours.both}, repeats, seconds
    )


def wgan_gp(repeats: int, seconds: float, width: int = 64) -> Timing:
    """A step of the critic and its share, a fifth, of a step of the generator."""
    ours = Ours(load("wgan-gp", **{"discriminator.width": width}))
    generator, critic = reference.Generator(width=128, bias=True), reference.Critic(width)
    reference.copy_weights(ours.state.generator, generator)
    reference.copy_weights(ours.state.discriminator, critic)
    theirs = reference.WGANGPLoop(generator, critic)
    reals = plain(ours)
    timing = interleaved(
        {
            "reference critic": lambda: theirs.critic_step(next(reals), torch.randn(BATCH, 100), torch.rand(BATCH)),
            "kaogan critic": ours.discriminator,
            "reference generator": lambda: theirs.generator_step(torch.randn(BATCH, 100)),
            "kaogan generator": ours.generator,
        },
        repeats,
        seconds,
    )
    n_critic = ours.recipe.training.n_critic
    both = {who: timing.seconds[f"{who} critic"] + timing.seconds[f"{who} generator"] / n_critic for who in PAIR}
    return Timing(both, timing.repeats, timing.busy)


def other(name: str) -> Callable[[int, float], Timing]:
    """Another recipe against itself in float32 and the default layout, as information."""

    def measure(repeats: int, seconds: float) -> Timing:
        plain_ours = Ours(load(name, **{"run.channels_last": False}), "fp32")
        plain_ours.batches = cycle(
            [Batch(batch.images.contiguous(), batch.labels) for batch in islice(plain_ours.batches, BATCHES)]
        )
        return interleaved({"reference": plain_ours.both, "kaogan": Ours(load(name)).both}, repeats, seconds)

    return measure


def reused_features(repeats: int, seconds: float) -> Timing:
    """A step of kao that looks at its fakes once, against one that looks at them again for the generator."""
    twice, once = (Ours(load("kao", **{"batch_size": 32, "training.reuse_features": on})) for on in (False, True))
    return interleaved({"reference": twice.both, "kaogan": once.both}, repeats, seconds)


def plain(ours: Ours) -> Iterator[torch.Tensor]:
    """The same pictures in the default layout, for ever."""
    return cycle([batch.images.contiguous() for batch in islice(ours.batches, BATCHES)])
