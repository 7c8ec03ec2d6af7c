"""Replay of old fakes (BaMSGAN): a reservoir of generated pictures that the discriminator is shown again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from kaogan.config.recipe import Fraction, Images, Recipe, Section, Weight
from kaogan.core.images import to_float, to_uint8
from kaogan.core.meters import crosses_multiple
from kaogan.losses.extras import EXTRAS
from kaogan.losses.extras.base import Extra, StepContext


class ReplayBuffer:
    """Keeps ``capacity`` of all the pictures ever offered, each with equal probability (Vitter 1985, algorithm R).

    BaMSGAN's program clipped its pictures when it saved them and read them back 255 times too bright; here they are the
    same uint8 pictures that a user would see, and come back in [-1, 1].
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.offered = 0
        self._pictures: np.ndarray | None = None

    def __len__(self) -> int:
        return min(self.offered, self.capacity)

    def offer(self, images: Tensor, rng: np.random.Generator) -> None:
        """Offer images (N, C, H, W) in [-1, 1]."""
        for picture in to_uint8(images):
            if self._pictures is None:
                self._pictures = np.empty((self.capacity, *picture.shape), np.uint8)
            slot = self.offered if self.offered < self.capacity else int(rng.integers(self.offered + 1))
            if slot < self.capacity:
                self._pictures[slot] = picture
            self.offered += 1

    def draw(self, count: int, rng: np.random.Generator) -> Tensor:
        """``count`` pictures (or all, if there are fewer) without replacement, (N, C, H, W) in [-1, 1]."""
        if self._pictures is None:
            raise ValueError("the replay buffer is empty")
        where = rng.choice(len(self), size=min(count, len(self)), replace=False)
        return to_float(self._pictures[where])

    def state_dict(self) -> dict[str, Tensor]:
        state = {"offered": torch.tensor(self.offered)}
        if self._pictures is not None:
            state["pictures"] = torch.from_numpy(self._pictures[: len(self)].copy())
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.offered, self._pictures = int(state["offered"]), None
        if "pictures" in state:
            pictures = state["pictures"].numpy()[: self.capacity]
            self._pictures = np.empty((self.capacity, *pictures.shape[1:]), np.uint8)
            self._pictures[: len(pictures)] = pictures
            if len(pictures) < len(self):  # the capacity has grown since: fill it up first
                self.offered = len(pictures)


class ReplaySettings(Section):
    fraction: Fraction = Field(0.0, description="old fakes shown again, as a share of the batch; 0 is off")
    start: int = Field(50_000, ge=0, description="images shown before the buffer is used")
    lead: int = Field(25_000, ge=0, description="images before the start at which the buffer begins to fill")
    every: Images = Field(5_000, description="images between two moments at which fakes are kept")
    capacity: int = Field(1_000, ge=1, le=1_000_000, description="pictures kept; a reservoir, fair to every age")
    weight: Weight = Field(1.0, description="weight of this term against the other fakes")


class Replay(Extra):
    Settings = ReplaySettings
    description = "a replay buffer of old fakes as further fakes (BaMSGAN)"
    fakes_purpose = "memory"
    settings: ReplaySettings

    def __init__(self, settings: ReplaySettings, recipe: Recipe) -> None:
        super().__init__(settings, recipe)
        self.buffer = ReplayBuffer(settings.capacity)

    @property
    def active(self) -> bool:
        return self.settings.fraction > 0

    def extra_fakes(self, batch_size: int, context: StepContext) -> Tensor | None:
        if context.images_seen < self.settings.start or not len(self.buffer):
            return None
        count = max(1, round(self.settings.fraction * batch_size))
        return self.buffer.draw(count, context.numpy_rng("memory/draw"))

    def needs_fakes(self, context: StepContext) -> bool:
        settings, clock = self.settings, context.images_seen
        due = crosses_multiple(settings.every, clock, self.recipe.training.batch_size)
        return due and clock >= settings.start - settings.lead

    def after_discriminator_step(self, fakes: Tensor, context: StepContext) -> Mapping[str, float]:
        if self.needs_fakes(context):
            count = max(1, round(self.settings.fraction * len(fakes)))
            self.buffer.offer(fakes[:count], context.numpy_rng("memory/offer"))
        return {}

    def state_dict(self) -> dict[str, Any]:
        return self.buffer.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state:
            self.buffer.load_state_dict(state)


EXTRAS.register("replay", Replay)
