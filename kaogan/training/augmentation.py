"""What stands between pictures and the discriminator: a fading blur, then augmentation, whose strength adapts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kaogan.config.recipe import Recipe
from kaogan.core.rng import torch_generator
from kaogan.training.augment import Ada, blur, diff_augment


@dataclass
class Adaptive:
    """ADA's probability p, and the signs of D(real) since it was last adjusted: their sum and number."""

    p: float
    signs: float = 0.0
    seen: int = 0


class Views:
    """Pictures as the discriminator sees them, (N, C, H, W) -> the same; the identity unless the recipe says more."""

    def __init__(self, recipe: Recipe, adaptive: Adaptive) -> None:
        self.recipe, self.settings, self.adaptive = recipe, recipe.extras.augment, adaptive
        self.ada = Ada(self.settings.groups)

    def __call__(self, images: Tensor, purpose: str, clock: int) -> Tensor:
        fade = self.recipe.extras.fade
        if fade.sigma:
            images = blur(images, fade.sigma * max(0.0, 1 - clock / fade.images))
        if self.settings.name == "none":
            return images
        random = torch_generator(self.recipe.run.seed, f"augment/{purpose}", clock)
        if self.settings.name == "diffaugment":
            return diff_augment(images, random, self.settings.policy)
        return self.ada(images, self.p(clock), random)

    def p(self, clock: int) -> float:
        """ADA's probability now."""
        return self.recipe.optim.annealing.at(clock, self.adaptive.p, self.recipe.optim.annealing.augment)

    @property
    def adapts(self) -> bool:
        return self.settings.name == "ada" and self.settings.target is not None

    @torch.no_grad()
    def note(self, scores: Tensor) -> None:
        """Take the signs of the scores (N,) of real pictures down."""
        if self.adapts:
            self.adaptive.signs += float(scores.sign().sum())
            self.adaptive.seen += scores.numel()

    def adapt(self, clock: int, batch_size: int) -> None:
        """After a step that began at ``clock``: move p when it is time (Karras et al. 2020b, section 3.1)."""
        state, settings = self.adaptive, self.settings
        due = (clock // batch_size + 1) % settings.every == 0
        if not (self.adapts and due and state.seen) or settings.target is None:
            return
        overfit = state.signs / state.seen - settings.target
        direction = (overfit > 0) - (overfit < 0)
        state.p = max(0.0, state.p + direction * batch_size * settings.every / settings.images)
        state.signs, state.seen = 0.0, 0
