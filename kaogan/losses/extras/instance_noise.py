"""Instance noise (Sønderby et al. 2017): all that the discriminator sees is mixed with noise, which may fade."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from kaogan.config.recipe import Fraction, Section
from kaogan.core.rng import randn
from kaogan.losses.extras import EXTRAS
from kaogan.losses.extras.base import Extra, StepContext


class InstanceNoiseSettings(Section):
    amount: Fraction = Field(0.0, description="a: the discriminator sees (1 - a) x + a n, n from N(0, 1); 0 is off")
    end: int = Field(0, ge=0, description="images shown at which the noise has faded to nothing; 0: it never fades")


class InstanceNoise(Extra):
    Settings = InstanceNoiseSettings
    description = "instance noise on everything that the discriminator sees"
    settings: InstanceNoiseSettings

    @property
    def active(self) -> bool:
        return self.settings.amount > 0

    def on_images(self, images: Tensor, purpose: str, context: StepContext) -> Tensor:
        end = self.settings.end
        amount = self.settings.amount * (max(0.0, 1 - context.images_seen / end) if end else 1.0)
        if not amount:
            return images
        return (1 - amount) * images.float() + amount * noise_like(images, context.torch_rng(f"noise/{purpose}"))


def noise_like(images: Tensor, rng: torch.Generator) -> Tensor:
    """N(0, 1), float32, of the shape of ``images`` and where they lie."""
    if images.device.type == "cpu":  # drawn in the layout of the images
        return torch.empty_like(images, dtype=torch.float32).normal_(generator=rng)
    return randn(images.shape, rng, images.device)


EXTRAS.register("instance_noise", InstanceNoise)
