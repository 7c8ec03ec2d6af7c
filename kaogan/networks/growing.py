"""A DCGAN generator that grows: a small picture first, then finer detail over its enlargement.

As in StyleGAN2's skip generator (Karras et al. 2020) the picture of each size is the one before, enlarged smoothly,
plus what a map adds; as in progressive growing (Karras et al. 2018) the fine sizes come late in the training.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from kaogan.core.device import constant
from kaogan.networks.base import ImageSizes, resolution_stages
from kaogan.networks.cpu.convolutions import Conv2d
from kaogan.networks.dcgan import OUTPUT_FILTERS, DCGANGenerator, DCGANGeneratorSettings, doubler, generator_norm
from kaogan.networks.layers import initialise, initialise_modulation, modulate
from kaogan.networks.registry import register_generator

BASE = 64


class GrowingGeneratorSettings(DCGANGeneratorSettings):
    """The generator: dcgan's settings are those of the base."""

    family: Literal["growing"] = Field("growing", description="the family of networks")  # type: ignore[assignment]
    tail_blocks: Literal[0] = Field(0, description="none here")
    base_size: int = Field(BASE, ge=8, le=512, description="side of the base picture, px; dcgan's weights of it fit")
    grow_at: int = Field(
        0, ge=0, description="images after which the detail is trained, unless it was before; until then there is none"
    )

    @field_validator("base_size")
    @classmethod
    def _a_power_of_two(cls, size: int) -> int:
        if size & (size - 1):
            raise ValueError(f"the side of the base is a power of two, {size} is not")
        return size


@register_generator("growing", tiny={"width": 4, "base_size": 8})
class GrowingGenerator(DCGANGenerator):
    """latents (N, Z), attributes (N, A) -> images (N, C, S, S) in [-1, 1], S = base_size · 2ⁿ, else UsageError.

    The weights of the base have dcgan's names. Details begin at zero: a network that has not grown draws its base's
    picture, enlarged by [1 3 3 1] filters before the tanh.
    """

    Settings = GrowingGeneratorSettings
    image_sizes = ImageSizes((BASE,), fewest=0)

    def __init__(
        self,
        settings: GrowingGeneratorSettings,
        *,
        latent_size: int,
        attribute_size: int,
        image_size: int,
        channels: int,
    ):
        base = settings.base_size
        _, doublings = resolution_stages("growing", image_size, ImageSizes((base,), fewest=0))
        super().__init__(
            settings, latent_size=latent_size, attribute_size=attribute_size, image_size=base, channels=channels
        )
        first = 1 if settings.to_rgb == "conv" else 0  # the base's last map is of full size already
        widths = [max(1, settings.width >> n) for n in range(first, first + doublings + 1)]
        self.details = nn.ModuleList(
            Detail(widths[n], widths[n + 1], channels, base << first + n, settings) for n in range(doublings)
        )
        self.grow_at, self.grown = settings.grow_at, True
        self._learnt: bool | None = None

    def forward(self, latents: Tensor, attributes: Tensor | None = None) -> Tensor:
        features, style = self.features(latents, attributes)
        x = OUTPUT_FILTERS[self.output_filter](self.last(features))
        for detail in self.details:
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear")
            if self.grown:
                features, colours = detail(features, style)
                x = x + colours
        return self.picture(x)

    def lr_multiplier(self, images_seen: int) -> float:
        """1 always. Before ``grow_at`` the detail is left out, unless it has been trained: then the network goes on
        from one that has grown."""
        self.grown = images_seen >= self.grow_at or self.learnt
        return 1.0

    @property
    def learnt(self) -> bool:
        """Whether any detail had been trained when this was first asked; asking once keeps a card from waiting."""
        if self._learnt is None:
            weights = [weight for name, weight in self.details.named_parameters() if ".rgb." in name]
            self._learnt = any(bool(weight.any()) for weight in weights if not weight.is_meta)
        return self._learnt


class Detail(nn.Module):
    """A map (N, before, S/2, S/2) -> one of S px, (N, after, S, S), and the colours that it adds to the picture of
    2S px, or with ``to_rgb`` conv of S px, at first zero."""

    def __init__(self, before: int, after: int, channels: int, size: int, s: GrowingGeneratorSettings):
        super().__init__()
        self.up = nn.Sequential(*doubler(s.upsample, before, after, s.kernel, s.bias))
        activation = nn.ReLU(inplace=True) if s.activation == "relu" else nn.LeakyReLU(s.slope, inplace=True)
        self.norm = nn.Sequential(*generator_norm(s, after, size), activation)
        if s.to_rgb == "conv":
            self.rgb = nn.Sequential(Conv2d(after, channels, 3, 1, 1, bias=False))
        else:
            self.rgb = nn.Sequential(*doubler(s.upsample, after, channels, s.kernel, bias=False))
        initialise(self, s.init)
        initialise_modulation(None, self.norm)
        for weight in self.rgb.parameters():
            nn.init.zeros_(weight)

    def forward(self, x: Tensor, style: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = modulate(self.norm, blur(self.up(x)), style)  # no checkerboard is left that the next map could build on
        return x, blur(self.rgb(x))


def blur(x: Tensor) -> Tensor:
    """dcgan's ``binomial`` filter as one convolution, which is ten times as fast on large pictures, channels last."""
    taps = constant((1.0, 2.0, 1.0), x) / 4
    kernel = (taps[:, None] * taps).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=x.shape[1])
