"""A tiny set and tiny state: what a test of one step needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from kaogan.config.recipe import Recipe
from kaogan.core.schema import Attribute, Schema
from kaogan.data import PictureSet
from kaogan.training import plots
from kaogan.training.run_logger import RunLogger
from kaogan.training.sampler import InfiniteSampler
from kaogan.training.state import TrainState, build_train_state
from kaogan.training.step import GANTrainer

HAIR, EYES = ("pink", "blue", "red"), ("aqua", "black")


def make_pictures(count: int = 24, size: int = 16, channels: int = 3, labelled: bool = False) -> PictureSet:
    """Noise with a bright and a dark half, so that there are edges; every fifth label unknown."""
    random = np.random.default_rng(count * size)
    images = random.integers(0, 60, (count, size, size, channels), np.uint8)
    images[:, : size // 2] += 180
    labels, schema = np.empty((count, 0), np.int64), Schema()
    if labelled:
        labels = np.stack([random.integers(0, len(HAIR), count), random.integers(0, len(EYES), count)], 1)
        labels[::5] = -1
        schema = Schema((Attribute("hair", HAIR, (0.5, 0.25, 0.25)), Attribute("eyes", EYES, (0.75, 0.25))))
    names = tuple(f"{number}.png" for number in range(count))
    return PictureSet(images, labels, schema, names, (), (), "a test", f"{count}-{size}-{channels}-{labelled}")


@dataclass
class Bench:
    """A training on the bench: ``step`` is what the loop does, without a run directory."""

    recipe: Recipe
    pictures: PictureSet
    state: TrainState
    sampler: InfiniteSampler
    trainer: GANTrainer

    def step(self, count: int = 1) -> dict[str, float]:
        """``count`` batches, as the loop takes them; the means of what was measured."""
        for _ in range(count):
            self.trainer.step()
            self.state.images_seen += self.recipe.training.batch_size
        return self.trainer.meters.take()

    def weights(self, network: str = "") -> torch.Tensor:
        modules = [
            m
            for n, m in (("generator", self.state.generator), ("discriminator", self.state.discriminator))
            if network in n
        ]
        return torch.cat([p.detach().flatten() for m in modules for p in m.parameters()])


@pytest.fixture
def bench() -> Callable[..., Bench]:
    def build(recipe: Recipe, pictures: PictureSet | None = None, precision: str = "fp32") -> Bench:
        pictures = pictures or make_pictures(
            size=recipe.image_size, channels=recipe.channels, labelled=bool(recipe.attributes.names)
        )
        device = torch.device("cpu")
        state = build_train_state(recipe, pictures.schema, device, precision)
        sampler = InfiniteSampler(pictures, recipe.training.batch_size, recipe.run.seed, recipe.data.horizontal_flip)
        return Bench(
            recipe, pictures, state, sampler, GANTrainer(recipe, pictures.schema, state, sampler, device, precision)
        )

    return build


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plots and films: they are tested elsewhere and take most of the time of a tiny run."""
    monkeypatch.setattr(plots, "film", lambda *_: None)
    monkeypatch.setattr(RunLogger, "_plots", lambda self: None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a tiny run leaves that nothing happened to."""
    from tests.training.runs import contents, train

    out = tmp_path_factory.mktemp("undisturbed") / "run"
    train(out)
    return contents(out)
