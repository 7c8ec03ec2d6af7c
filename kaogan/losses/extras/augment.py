"""Augmentation of all that the discriminator sees: ADA, whose probability adapts, or DiffAugment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from kaogan.config.recipe import Fraction, Images, Recipe, Section
from kaogan.core import device
from kaogan.losses.augment import Ada, diff_augment
from kaogan.losses.augment.ada import Group
from kaogan.losses.augment.diffaugment import Policy
from kaogan.losses.extras import EXTRAS
from kaogan.losses.extras.base import Extra, StepContext

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


@dataclass
class AdaState:
    """ADA's probability."""

    p: float


class AugmentPipe(Extra):
    Settings = AugmentSettings
    description = "augmentation of all that the discriminator sees"
    settings: AugmentSettings

    def __init__(self, settings: AugmentSettings, recipe: Recipe) -> None:
        super().__init__(settings, recipe)
        self.ada, self.adaptive = Ada(settings.groups), AdaState(settings.p)
        self._forget_signs()

    @property
    def active(self) -> bool:
        return self.settings.name != "none"

    @property
    def adapts(self) -> bool:
        return self.settings.name == "ada" and self.settings.target is not None

    def p(self, images_seen: int) -> float:
        """ADA's probability now."""
        annealing = self.recipe.optim.annealing
        return annealing.at(images_seen, self.adaptive.p, annealing.augment)

    def on_discriminator_input(self, images: Tensor, purpose: str, context: StepContext) -> Tensor:
        rng = context.torch_rng(f"augment/{purpose}")
        if self.settings.name == "diffaugment":
            return diff_augment(images, rng, self.settings.policy)
        return self.ada(images, self.p(context.images_seen), rng)

    @torch.no_grad()
    def on_real_scores(self, scores: Tensor) -> None:
        if self.adapts:
            signs, seen = self.statistics["signs"], self.statistics["seen"]
            self.statistics["signs"] = scores.sign().sum() + signs
            self.statistics["seen"] = seen + scores.numel()

    def needs_fakes(self, context: StepContext) -> bool:
        return False

    def after_discriminator_step(self, fakes: Tensor, context: StepContext) -> Mapping[str, float]:
        if self.settings.name != "ada":
            return {}
        reported = {"augment_p": self.p(context.images_seen)}
        self.adapt(context.images_seen, self.recipe.training.batch_size)
        return reported

    def adapt(self, images_seen: int, batch_size: int) -> None:
        """After a step that began at ``images_seen``: move p when it is time (Karras et al. 2020b, section 3.1)."""
        settings, seen = self.settings, int(self.statistics["seen"])
        due = (images_seen // batch_size + 1) % settings.every == 0
        if not (self.adapts and due and seen) or settings.target is None:
            return
        overfit = device.read(self.statistics["signs"]) / seen - settings.target
        direction = (overfit > 0) - (overfit < 0)
        self.adaptive.p = max(0.0, self.adaptive.p + direction * batch_size * settings.every / settings.images)
        self._forget_signs()

    def _forget_signs(self, signs: float = 0.0, seen: int = 0) -> None:
        """Count the signs of D(real) anew, since p was last adjusted: their sum and number."""
        self.statistics = {"signs": torch.tensor(signs), "seen": torch.tensor(seen)}

    def state_dict(self) -> dict[str, Any]:
        signs, seen = float(self.statistics["signs"]), int(self.statistics["seen"])
        return {"p": self.adaptive.p, "signs": signs, "seen": seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.adaptive.p = state.get("p", self.adaptive.p)
        self._forget_signs(state.get("signs", 0.0), state.get("seen", 0))


EXTRAS.register("augment", AugmentPipe)
