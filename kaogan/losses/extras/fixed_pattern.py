"""A penalty on the fixed pattern: fine detail that is the same in every generated picture, unlike in the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kaogan.config.recipe import Images, Section, Weight
from kaogan.core.device import constant
from kaogan.core.errors import UsageError
from kaogan.losses.extras import EXTRAS
from kaogan.losses.extras.base import Extra, StepContext


class FixedPatternSettings(Section):
    weight: Weight = Field(
        0.0, description="weight of the squared difference of the mean fine detail, fakes against reals; 0 is off"
    )
    start: int = Field(40_000, ge=0, description="images shown before the penalty begins")
    ramp: Images = Field(60_000, description="images in which it rises to its weight")
    horizon: int = Field(1_000, ge=1, description="pictures that the running means go back, about")
    octaves: int = Field(
        1, ge=1, le=6, description="sizes whose fine detail counts: the picture's own, half of it, a quarter, ..."
    )


class FixedPattern(Extra):
    """Where augmentation shifts what the discriminator sees, it cannot tell that a detail always lies at one place; the
    mean of many pictures can. The gradient is that of the current batch's mean, weighed with the difference of the
    running means, which a single batch of 32 would drown in its own noise."""

    Settings = FixedPatternSettings
    description = "a penalty on fine detail that is the same in every generated picture"
    needs_reals = True
    settings: FixedPatternSettings

    @property
    def means(self) -> Tensor | None:
        """Running means of the high passes of fakes and reals, (2, C, H, W)."""
        return self.statistics.get("means")

    @property
    def active(self) -> bool:
        return self.settings.weight > 0

    def check(self, generator: nn.Module) -> None:
        size, octaves = self.recipe.image_size, self.settings.octaves
        if not size >> (octaves - 1):
            raise UsageError(
                f"extras.fixed_pattern.octaves is {octaves}, but pictures of {size} px can be halved "
                f"{size.bit_length() - 1} times only: set it to {size.bit_length()} or less"
            )

    def generator_loss(self, real: Tensor, fake: Tensor, context: StepContext) -> Tensor | None:
        share = min(1.0, max(0.0, (context.images_seen - self.settings.start) / self.settings.ramp))
        kept = max(0.0, 1 - len(fake) * self.recipe.training.shards / self.settings.horizon)
        fakes, reals = fake.float().mean(0, keepdim=True), real.float().mean(0, keepdim=True)
        terms: list[Tensor] = []
        for octave in range(self.settings.octaves):
            if octave:
                fakes, reals = F.avg_pool2d(fakes, 2), F.avg_pool2d(reals, 2)
            fake_mean = high_pass(fakes)[0]
            batch = torch.stack([fake_mean.detach(), high_pass(reals)[0]])
            name = f"means_{octave}" if octave else "means"
            before = self.statistics.get(name)
            means = batch if before is None else before.to(batch.device).lerp(batch, 1 - kept)
            self.statistics[name] = means
            terms.append((2 * (means[0] - means[1]) * fake_mean).mean())
        return self.settings.weight * share * sum(terms[1:], terms[0]) if share else None

    def state_dict(self) -> dict[str, Any]:
        return dict(self.statistics)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.statistics = {name: value.clone() for name, value in state.items()}


def high_pass(images: Tensor) -> Tensor:
    """Images (N, C, H, W) less their 5x5 binomial blur."""
    row = constant((1.0, 4.0, 6.0, 4.0, 1.0), images) / 16
    channels = images.shape[1]
    kernel = (row[:, None] * row).expand(channels, 1, 5, 5)
    return images - F.conv2d(F.pad(images, (2, 2, 2, 2), mode="replicate"), kernel, groups=channels)


EXTRAS.register("fixed_pattern", FixedPattern)
