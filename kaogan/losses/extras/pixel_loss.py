"""GANime's "cycle" constraint: generated pictures are pulled towards the unpaired reals of the step, pixel by pixel."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from kaogan.config.recipe import Section, Weight
from kaogan.losses.extras import EXTRAS
from kaogan.losses.extras.base import Extra, StepContext


class PixelLossSettings(Section):
    weight: Weight = Field(
        0.0, description="lambda of mean |G(z) - x| against the unpaired reals of the step; 0 is off"
    )
    power: Literal[1, 2] = Field(1, description="1 for L1, 2 for the mean square")


class PixelLoss(Extra):
    Settings = PixelLossSettings
    description = "GANime's 'cycle' constraint: pull generated pictures to the data"
    needs_reals = True
    settings: PixelLossSettings

    @property
    def active(self) -> bool:
        return self.settings.weight > 0

    def generator_loss(self, real: Tensor, fake: Tensor, context: StepContext) -> Tensor | None:
        distance = (fake.float() - real).abs() ** self.settings.power
        return self.settings.weight * distance.mean()


EXTRAS.register("pixel_loss", PixelLoss)
