"""Augmentation of all that the discriminator sees: ADA, whose probability adapts, or DiffAugment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from torch import Tensor

from kaogan.config.recipe import Fraction, Images, Recipe, Section
from kaogan.losses.augment import Ada, diff_augment
from kaogan.losses.augment.ada import Group
from kaogan.losses.augment.diffaugment import Policy
from kaogan.losses.extras import EXTRAS
from kaogan.losses.extras.adaptive_p import AdaptiveP
from kaogan.losses.extras.base import StepContext

_one_or_many = BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)


class AugmentSettings(Section):
    name: Literal["none", "ada", "diffaugment"] = Field("none", description="the pipeline")
    groups: Annotated[tuple[Group, ...], _one_or_many] = Field(
        ("blit", "geometry", "color"), description="ada's groups of transformations"
    )
    policy: Annotated[tuple[Policy, ...], _one_or_many] = Field(
        ("color", "translation", "cutout"), description="diffaugment's transformations"
    )
    p: Fraction = Field(0.0, description="ada's probability at the start")
    target: Fraction | None = Field(
        0.6, description="p rises while the mean sign of D(real) is above this, else falls; null: p stays"
    )
    images: Images = Field(500_000, description="images in which p can go from 0 to 1")
    every: int = Field(4, ge=1, description="discriminator steps between two adjustments of p")


class AugmentPipe(AdaptiveP):
    Settings = AugmentSettings
    description = "augmentation of all that the discriminator sees"
    settings: AugmentSettings

    def __init__(self, settings: AugmentSettings, recipe: Recipe) -> None:
        super().__init__(settings, recipe)
        self.ada = Ada(settings.groups)

    @property
    def active(self) -> bool:
        return self.settings.name != "none"

    @property
    def adapts(self) -> bool:
        return self.settings.name == "ada" and super().adapts

    def p(self, images_seen: int) -> float:
        """ADA's probability now."""
        annealing = self.recipe.optim.annealing
        return annealing.at(images_seen, self.adaptive.p, annealing.augment)

    def on_discriminator_input(self, images: Tensor, purpose: str, context: StepContext) -> Tensor:
        rng = context.torch_rng(f"augment/{purpose}")
        if self.settings.name == "diffaugment":
            return diff_augment(images, rng, self.settings.policy)
        return self.ada(images, self.p(context.images_seen), rng)

    def after_discriminator_step(self, fakes: Tensor, context: StepContext) -> Mapping[str, float]:
        if self.settings.name != "ada":
            return {}
        reported = {"augment_p": self.p(context.images_seen)}
        self.adapt(context.images_seen, self.recipe.training.batch_size)
        return reported


EXTRAS.register("augment", AugmentPipe)
