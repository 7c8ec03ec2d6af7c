"""Adaptive pseudo augmentation (APA): some reals of the discriminator's batch give way to generated pictures."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from kaogan.config.recipe import Fraction, Images, Section
from kaogan.losses.extras import EXTRAS
from kaogan.losses.extras.adaptive_p import AdaptiveP
from kaogan.losses.extras.base import StepContext


class ApaSettings(Section):
    target: Fraction | None = Field(
        None, description="p rises while the mean sign of D(real) is above this, else falls; null: p stays"
    )
    p: Fraction = Field(
        0.0, description="share of the reals that are generated pictures, at the start; 0 without a target is off"
    )
    images: Images = Field(500_000, description="images in which p can go from 0 to 1")
    every: int = Field(4, ge=1, description="discriminator steps between two adjustments of p")


class Apa(AdaptiveP):
    """Jiang et al. 2021, arXiv:2111.06849: each real is, with probability p, a generated picture that is called real.
    p follows the signs of the scores of that mixed batch, as in the paper's program.

    The generated pictures are the fakes of the same step without their gradient, where the program has those of the
    generator's step: the expected loss is the same, and nothing more is generated.
    """

    Settings = ApaSettings
    description = "generated pictures among the reals of the discriminator, the more the further it overfits (APA)"
    max_p = 1.0
    settings: ApaSettings

    @property
    def active(self) -> bool:
        return self.adapts or self.settings.p > 0

    def pseudo_reals(self, count: int, context: StepContext) -> Tensor | None:
        chosen = torch.rand(count, generator=context.torch_rng("apa")) < self.adaptive.p
        return chosen if chosen.any() else None

    def after_discriminator_step(self, fakes: Tensor, context: StepContext) -> Mapping[str, float]:
        reported = {"apa_p": self.adaptive.p}
        self.adapt(context.images_seen, self.recipe.training.batch_size)
        return reported


EXTRAS.register("apa", Apa)
