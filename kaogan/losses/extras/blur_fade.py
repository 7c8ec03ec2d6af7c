"""A blur of all that the discriminator sees, which fades: how StyleGAN3-R starts (Karras et al. 2021, appendix)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from kaogan.config.recipe import Images, Section, Weight
from kaogan.losses.augment import blur
from kaogan.losses.extras import EXTRAS
from kaogan.losses.extras.base import Extra, StepContext


class BlurFadeSettings(Section):
    sigma: Weight = Field(0.0, description="blur of all that the discriminator sees at the start, px; 0 is off")
    images: Images = Field(200_000, description="images over which it fades to nothing")


class BlurFade(Extra):
    Settings = BlurFadeSettings
    description = "a fading blur (StyleGAN3-R)"
    settings: BlurFadeSettings

    @property
    def active(self) -> bool:
        return self.settings.sigma > 0

    def on_discriminator_input(self, images: Tensor, purpose: str, context: StepContext) -> Tensor:
        return blur(images, self.settings.sigma * max(0.0, 1 - context.images_seen / self.settings.images))


EXTRAS.register("blur_fade", BlurFade)
