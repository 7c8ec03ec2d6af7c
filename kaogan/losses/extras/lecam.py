"""LeCam regularisation: the discriminator's scores of each side are held near the running mean of the other's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kaogan.config.recipe import Images, Section, Weight
from kaogan.losses.extras import EXTRAS
from kaogan.losses.extras.base import Extra, StepContext


class LecamSettings(Section):
    weight: Weight = Field(0.0, description="weight of the penalty on the discriminator's scores; 0 is off")
    start: int = Field(0, ge=0, description="images shown before the penalty begins; the means run from the first on")
    horizon: Images = Field(
        6_400,
        description="images that the means of scores go back, about; a decay of 0.99, the paper's, in batches of 64",
    )


class Lecam(Extra):
    """Tseng et al. 2021, arXiv:2104.03310: mean relu(D(x) - a_fake)² + mean relu(a_real - D(G(z)))², where a_real and
    a_fake are exponential moving averages of the scores, the batch's own among them. The paper's equation has plain
    squares; its program has the relu, which leaves scores alone that are on the other side of the mean.

    The means are those of each head of a discriminator with several.
    """

    Settings = LecamSettings
    description = "a penalty on scores far from the running mean of the other side's (LeCam)"
    settings: LecamSettings

    @property
    def active(self) -> bool:
        return self.settings.weight > 0

    def score_loss(self, real: Tensor, fake: Tensor, context: StepContext) -> Tensor | None:
        kept = max(0.0, 1 - len(real) * self.recipe.training.shards / self.settings.horizon)
        real_mean, fake_mean = self._moved("real", real, kept), self._moved("fake", fake, kept)
        if context.images_seen < self.settings.start:
            return None
        penalty = F.relu(real - fake_mean).square().mean() + F.relu(real_mean - fake).square().mean()
        return self.settings.weight * penalty

    @torch.no_grad()
    def _moved(self, name: str, scores: Tensor, kept: float) -> Tensor:
        """The running mean of scores, () or (H,), after a batch of them; the first batch begins it, and that of heads
        that came later, as those on crops do. Means of heads that are gone are dropped."""
        batch = scores.mean(0)
        before = self.statistics.get(name, batch).to(batch.device)
        if before.shape != batch.shape:
            kept_heads = before.reshape(-1)[: batch.numel()]
            before = torch.cat([kept_heads, batch.reshape(-1)[len(kept_heads) :]]).reshape(batch.shape)
        self.statistics[name] = before.lerp(batch, 1 - kept)
        return self.statistics[name]

    def state_dict(self) -> dict[str, Any]:
        return dict(self.statistics)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.statistics = {name: value.clone() for name, value in state.items()}


EXTRAS.register("lecam", Lecam)
