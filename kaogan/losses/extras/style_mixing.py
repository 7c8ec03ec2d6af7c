"""Style mixing (Karras et al. 2019, section 3.1): later layers of a style network take the styles of other latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kaogan.config.recipe import Fraction
from kaogan.core.errors import UsageError
from kaogan.losses.extras import EXTRAS
from kaogan.losses.extras.base import Extra
from kaogan.networks.stylegan import is_style_generator


class StyleMixing(Extra):
    Settings = Fraction
    description = "of style networks: probability of a batch whose later layers take the styles of other latents"
    settings: float

    @classmethod
    def default(cls) -> Any:
        return 0.0

    @property
    def active(self) -> bool:
        return self.settings > 0

    def check(self, generator: nn.Module) -> None:
        if not is_style_generator(generator):
            raise UsageError(
                "'extras.style_mixing' needs a StyleGAN generator: set generator.family to stylegan2, or this key to 0"
            )

    def on_styles(self, styles: Tensor, draw_styles: Callable[[], Tensor], rng: torch.Generator) -> Tensor:
        num_ws = styles.shape[1]
        if num_ws == 1 or float(torch.rand([], generator=rng)) >= self.settings:
            return styles
        cutoff = int(torch.randint(1, num_ws, [], generator=rng))
        return torch.cat([styles[:, :cutoff], draw_styles()[:, cutoff:]], 1)


EXTRAS.register("style_mixing", StyleMixing)
