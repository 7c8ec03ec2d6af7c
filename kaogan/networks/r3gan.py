"""R3GAN's networks (Huang et al. 2024): ResNeXt-like blocks without normalisation, in generator and discriminator.

Fix-up initialisation (Zhang et al. 2019) stands in for normalisation: the last convolution of every block starts at 0,
the others are scaled by the number of blocks to the power -1/4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from kaogan.config.network_settings import NetworkSettings
from kaogan.networks.base import Discriminator, DiscriminatorOutput, Generator, discriminator_output, resolution_stages
from kaogan.networks.cpu.convolutions import Conv2d
from kaogan.networks.registry import register_discriminator, register_generator
from kaogan.networks.stylegan.filters import prepare_filter
from kaogan.networks.stylegan.resampling import downsample, upsample

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # what keeps the variance through a leaky ReLU: He et al. 2015

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class _Shared(NetworkSettings):
    family: Literal["r3gan"] = Field("r3gan", description="the family of networks")
    channel_base: int = Field(24576, ge=4, le=2**20, description="channels at a resolution r are channel_base / r")
    channel_max: int = Field(768, ge=1, le=8192, description="but never more than this")
    blocks: int = Field(2, ge=1, le=16, description="residual blocks at each resolution")
    expansion: int = Field(2, ge=1, le=8, description="widening inside a block")
    group_width: int = Field(16, ge=1, le=1024, description="channels of a group of a block's 3x3 convolution")
    embedding: int = Field(64, ge=1, le=8192, description="length of the embedding of a code")
    resample_filter: Annotated[tuple[float, ...], Field(min_length=2, max_length=7)] = Field(
        (1.0, 3.0, 3.0, 1.0),
        description="taps of the low-pass filter between resolutions; [1, 2, 1], as in models of earlier releases, "
        "also shifts the maps by half a pixel at each",
    )

    @field_validator("resample_filter")
    @classmethod
    def _passes_what_is_even(cls, taps: tuple[float, ...]) -> tuple[float, ...]:
        if not sum(taps) > 0:
            raise ValueError("the sum of the taps must be above 0")
        return taps


class R3GANGeneratorSettings(_Shared):
    """The generator; the defaults are those for faces at 64 px."""


class R3GANDiscriminatorSettings(_Shared):
    """The discriminator; the defaults are those for faces at 64 px."""

    attribute_head: Literal["projection", "classifier"] = Field(
        "projection", description="attributes enter the score, as published, or are classified by a head, as in ACGAN"
    )


class _Frame(nn.Module):
    """What both networks are built of, at the resolutions 4, 8, ... S."""

    resample_filter: Tensor

    def __init__(self, s: _Shared, image_size: int, upwards: bool):
        super().__init__()
        _, stages = resolution_stages("r3gan", image_size)
        self.widths = [self._width(s, 4 << stage) for stage in range(stages + 1)]
        self.register_buffer("resample_filter", prepare_filter(s.resample_filter))
        gain = GAIN * (s.blocks * len(self.widths)) ** -0.25
        self.stages = nn.ModuleList(
            nn.Sequential(*(R3GANBlock(width, s.expansion, s.group_width, gain) for _ in range(s.blocks)))
            for width in self.widths
        )
        pairs = zip(self.widths, self.widths[1:], strict=False)
        ways = (pair if upwards else pair[::-1] for pair in pairs)
        self.transitions = nn.ModuleList(conv(*way, 1, 1.0) if way[0] != way[1] else nn.Identity() for way in ways)

    @staticmethod
    def _width(s: _Shared, resolution: int) -> int:
        """A multiple of what a group of the expanded width needs."""
        step = max(1, s.group_width // math.gcd(s.group_width, s.expansion))
        return max(step, min(s.channel_base // resolution, s.channel_max) // step * step)


@register_generator("r3gan", tiny={"channel_base": 256, "channel_max": 16})
class R3GANGenerator(_Frame, Generator):
    """latents (N, Z), attributes (N, A) -> images (N, C, S, S), about [-1, 1] but not squashed, as published."""

    Settings = R3GANGeneratorSettings

    def __init__(
        self, settings: R3GANGeneratorSettings, *, latent_size: int, attribute_size: int, image_size: int, channels: int
    ):
        super().__init__(settings, image_size, upwards=True)
        self.attribute_size = attribute_size
        extra = settings.embedding if attribute_size else 0
        if attribute_size:
            self.embed = scaled(nn.Linear(attribute_size, settings.embedding, bias=False), 1.0)
        self.basis = nn.Parameter(torch.randn(self.widths[0], 4, 4))
        self.linear = scaled(nn.Linear(latent_size + extra, self.widths[0], bias=False), 1.0)
        self.to_image = conv(self.widths[-1], channels, 1, 1.0)

    def forward(self, latents: Tensor, attributes: Tensor | None = None) -> Tensor:
        if self.attribute_size:
            if attributes is None:
                raise ValueError(
                    f"this generator is conditional: it needs attributes of shape (N, {self.attribute_size})"
                )
            latents = torch.cat([latents, self.embed(attributes.to(latents.dtype))], 1)
        x = self.basis.to(latents.dtype) * self.linear(latents)[:, :, None, None]
        x = self.stages[0](x.contiguous(memory_format=torch.channels_last))
        for transition, stage in zip(self.transitions, self.stages[1:], strict=True):
            x = stage(upsample(transition(x), self.resample_filter))
        return self.to_image(x).to(self.basis.dtype)


@register_discriminator("r3gan", tiny={"channel_base": 256, "channel_max": 16})
class R3GANDiscriminator(_Frame, Discriminator):
    """images (N, C, S, S), attributes (N, A) -> DiscriminatorOutput.

    With the attribute head ``projection`` there are no logits; absent attributes mean that no attribute is known. An
    attribute that is not known, all zeros, counts as the mean of its values: the score is a product with the embedding,
    which has no bias, so that zeros would be scored 0 whatever the picture.
    """

    Settings = R3GANDiscriminatorSettings

    def __init__(
        self, settings: R3GANDiscriminatorSettings, *, attribute_sizes: Sequence[int], image_size: int, channels: int
    ):
        super().__init__(settings, image_size, upwards=False)
        s, width, size = settings, self.widths[0], sum(attribute_sizes)
        self.attribute_sizes = list(attribute_sizes)
        self.from_image = conv(channels, self.widths[-1], 1, 1.0)
        self.basis = conv(width, width, 4, 1.0, groups=width)
        self.projected = bool(size) and s.attribute_head == "projection"
        self.score = scaled(nn.Linear(width, s.embedding if self.projected else 1, bias=False), 1.0)
        self.attributes: nn.Linear | None = None
        if self.projected:
            self.embed = scaled(nn.Linear(size, s.embedding, bias=False), 1 / math.sqrt(s.embedding))
        elif size:
            self.attributes = scaled(nn.Linear(width, size), 1.0)

    def forward(self, images: Tensor, attributes: Tensor | None = None) -> DiscriminatorOutput:
        x = self.stages[-1](self.from_image(images))
        for transition, stage in zip(reversed(self.transitions), reversed(self.stages[:-1]), strict=True):
            x = stage(transition(downsample(x, self.resample_filter)))
        features = self.basis(x).flatten(1)
        scores = self.score(features)
        if self.projected:
            if attributes is None:
                attributes = scores.new_zeros(len(scores), self.embed.in_features)
            code = self._with_means(attributes.to(self.embed.weight.dtype))
            scores = (scores.to(self.score.weight.dtype) * self.embed(code)).sum(1)
        return discriminator_output(scores, None if self.attributes is None else self.attributes(features))

    def _with_means(self, code: Tensor) -> Tensor:
        """A code (N, A) -> the same with all values of an attribute that is not known at the same share."""
        parts = code.split(self.attribute_sizes, 1)
        return torch.cat([torch.where(part.any(1, keepdim=True), part, 1 / part.shape[1]) for part in parts], 1)


class R3GANBlock(nn.Module):
    """y = x + f(x), f = 1×1, bias, leaky ReLU, grouped 3×3, bias, leaky ReLU, 1×1. (N, C, H, W) -> the same."""

    def __init__(self, width: int, expansion: int, group_width: int, gain: float):
        super().__init__()
        inner = width * expansion
        self.expand = conv(width, inner, 1, gain, bias=True)
        self.mix = conv(inner, inner, 3, gain, groups=max(1, inner // group_width), bias=True)
        self.contract = conv(inner, width, 1, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.expand(x), SLOPE, inplace=True)
        y = F.leaky_relu(self.mix(y), SLOPE, inplace=True)
        return x + self.contract(y)


def conv(inputs: int, outputs: int, kernel: int, gain: float, groups: int = 1, bias: bool = False) -> nn.Conv2d:
    """A convolution whose padding keeps the size (kernel 1, 3), or none (kernel 4); weights N(0, gain² / fan-in)."""
    padding = kernel // 2 if kernel % 2 else 0
    return scaled(Conv2d(inputs, outputs, kernel, padding=padding, groups=groups, bias=bias), gain)


def scaled(layer: Layer, gain: float) -> Layer:
    with torch.no_grad():
        layer.weight.normal_(0, 1).mul_(gain / math.sqrt(layer.weight[0].numel()))
        if layer.bias is not None:
            layer.bias.zero_()
    return layer
