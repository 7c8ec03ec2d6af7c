"""A probability that follows how far the discriminator overfits, for the extras that act with one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from kaogan.config.recipe import Recipe
from kaogan.core import device
from kaogan.losses.extras.base import Extra, StepContext


@dataclass
class AdaState:
    """The probability as it is now."""

    p: float


class AdaptiveP(Extra):
    """p rises while the mean sign of D(real) is above a target, else it falls (Karras et al. 2020b, section 3.1).

    The settings have ``p`` (at the start), ``target`` (None: p stays), ``images`` (in which p can go from 0 to 1) and
    ``every`` (discriminator steps between two adjustments).
    """

    max_p: ClassVar[float] = math.inf

    def __init__(self, settings: Any, recipe: Recipe) -> None:
        super().__init__(settings, recipe)
        self.adaptive = AdaState(settings.p)
        self._forget_signs()

    @property
    def adapts(self) -> bool:
        return self.settings.target is not None

    @torch.no_grad()
    def on_real_scores(self, scores: Tensor) -> None:
        if self.adapts:
            signs, seen = self.statistics["signs"], self.statistics["seen"]
            self.statistics["signs"] = scores.sign().sum() + signs
            self.statistics["seen"] = seen + scores.numel()

    def needs_fakes(self, context: StepContext) -> bool:
        return False

    def adapt(self, images_seen: int, batch_size: int) -> None:
        """After a step that began at ``images_seen``: move p when it is time."""
        settings, seen = self.settings, int(self.statistics["seen"])
        due = (images_seen // batch_size + 1) % settings.every == 0
        if not (self.adapts and due and seen):
            return
        overfit = device.read(self.statistics["signs"]) / seen - settings.target
        direction = (overfit > 0) - (overfit < 0)
        moved = self.adaptive.p + direction * batch_size * settings.every / settings.images
        self.adaptive.p = min(self.max_p, max(0.0, moved))
        self._forget_signs()

    def _forget_signs(self, signs: float = 0.0, seen: int = 0) -> None:
        """Count the signs of D(real) anew, since p was last adjusted: their sum and number."""
        self.statistics = {"signs": torch.tensor(signs), "seen": torch.tensor(seen)}

    def state_dict(self) -> dict[str, Any]:
        signs, seen = float(self.statistics["signs"]), int(self.statistics["seen"])
        return {"p": self.adaptive.p, "start": self.settings.p, "signs": signs, "seen": seen}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state.get("start", self.settings.p) != self.settings.p:
            return  # who has set another p wants that one; earlier checkpoints do not say where theirs began
        self.adaptive.p = state.get("p", self.adaptive.p)
        self._forget_signs(state.get("signs", 0.0), state.get("seen", 0))
