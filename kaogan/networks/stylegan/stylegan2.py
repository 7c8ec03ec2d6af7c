"""StyleGAN2's generator (Karras et al. 2020), parameter for parameter as published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from kaogan.config.network_settings import NetworkSettings
from kaogan.core.rng import randn
from kaogan.networks.base import resolution_stages
from kaogan.networks.layers import full_precision
from kaogan.networks.registry import register_generator
from kaogan.networks.stylegan.filters import prepare_filter
from kaogan.networks.stylegan.layers import (
    RESAMPLE,
    Conv2d,
    Linear,
    activate_and_clamp,
    demodulation,
    resampled_conv2d,
    scale_channels,
)
from kaogan.networks.stylegan.mapping import Mapping, StyleGenerator
from kaogan.networks.stylegan.resampling import upsample_bilinear

Architecture = Literal["skip", "resnet", "orig"]


class StyleGAN2GeneratorSettings(NetworkSettings):
    """The generator; the defaults are config F of the paper."""

    family: Literal["stylegan2"] = Field("stylegan2", description="the family of networks")
    w_dim: int = Field(512, ge=1, le=8192, description="length of a style w")
    num_layers: int = Field(8, ge=1, le=32, description="layers of the mapping network")
    channel_base: int = Field(32768, ge=4, le=2**20, description="channels at a resolution r are channel_base / r")
    channel_max: int = Field(512, ge=1, le=8192, description="but never more than this")
    architecture: Architecture = Field("skip", description="skip sums a picture at each resolution")
    conv_clamp: float | None = Field(256.0, gt=0, description="limit of every map; null: none")
    use_noise: bool = Field(True, description="noise inputs")
    w_avg_beta: float = Field(0.998, ge=0, lt=1, description="memory of the average of w, per step")


@register_generator("stylegan2", tiny={"w_dim": 8, "num_layers": 2, "channel_base": 128, "channel_max": 8})
class StyleGAN2Generator(StyleGenerator):
    """latents (N, Z), attributes (N, A) -> images (N, C, S, S), S = 8, 16, ... 1024, else UsageError."""

    Settings = StyleGAN2GeneratorSettings

    synthesis: Synthesis

    def __init__(
        self, settings: StyleGAN2GeneratorSettings, *, latent_size: int, attribute_size: int, image_size: int,
        channels: int,
    ):  # fmt: skip
        super().__init__()
        s = settings
        resolution_stages("stylegan2", image_size)
        self.synthesis = Synthesis(s, image_size, channels)
        self.mapping = Mapping(latent_size, attribute_size, s.w_dim, s.num_layers, s.w_avg_beta)


def channels_at(resolution: int, base: int, most: int) -> int:
    """C(r) = min(base / r, most), at least 1."""
    return max(1, min(base // resolution, most))


class Synthesis(nn.Module):
    """styles (N, num_ws, w_dim) -> images (N, C, S, S), float32."""

    def __init__(self, s: StyleGAN2GeneratorSettings, image_size: int, channels: int):
        super().__init__()
        self.resolutions = [2**k for k in range(2, int(math.log2(image_size)) + 1)]
        self.num_ws = 2 * int(math.log2(image_size)) - 2
        for r in self.resolutions:
            before = channels_at(r // 2, s.channel_base, s.channel_max) if r > 4 else 0
            after = channels_at(r, s.channel_base, s.channel_max)
            self.add_module(f"b{r}", SynthesisBlock(s, before, after, r, channels, last=r == image_size))

    def forward(self, styles: Tensor, random: torch.Generator | None = None, update_emas: bool = False) -> Tensor:
        x = image = None
        first, each = 0, styles.unbind(1)
        for r in self.resolutions:
            block = self.get_submodule(f"b{r}")
            x, image = block(x, image, each[first:], random)
            # The style of a block's torgb is also that of the next block's first convolution.
            first += 1 if r == 4 else 2
        assert image is not None
        return image


class SynthesisBlock(nn.Module):
    """One resolution. ``before`` is 0 for the first, which starts from a learned constant."""

    resample_filter: Tensor

    def __init__(
        self, s: StyleGAN2GeneratorSettings, before: int, after: int, resolution: int, channels: int, last: bool
    ):
        super().__init__()
        self.architecture = s.architecture
        self.register_buffer("resample_filter", prepare_filter(RESAMPLE))
        if before:
            self.conv0 = StyledConv(s, before, after, resolution, up=2)
        else:
            self.const = nn.Parameter(torch.randn(after, resolution, resolution))
        self.conv1 = StyledConv(s, after, after, resolution)
        self.torgb = ToRGB(s, after, channels) if last or s.architecture == "skip" else None
        if before and s.architecture == "resnet":
            self.skip = Conv2d(before, after, 1, bias=False, up=2)

    def forward(
        self, x: Tensor | None, image: Tensor | None, styles: Sequence[Tensor], random: torch.Generator | None
    ) -> tuple[Tensor, Tensor | None]:
        w = iter(styles)
        if x is None:
            x = self.const.expand(styles[0].shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = self.conv1(x, next(w), random)
        elif self.architecture == "resnet":
            skip = self.skip(x, math.sqrt(0.5))
            x = skip + self.conv1(self.conv0(x, next(w), random), next(w), random, math.sqrt(0.5))
        else:
            x = self.conv1(self.conv0(x, next(w), random), next(w), random)
        if image is not None:
            with full_precision(image):
                image = upsample_bilinear(image)
        if self.torgb is not None:
            picture = self.torgb(x, next(w))
            image = picture if image is None else image + picture
        return x, image


class StyledConv(nn.Module):
    """A 3×3 modulated, demodulated convolution with noise, bias and leaky ReLU; ``up`` 2 doubles the map."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(self, s: StyleGAN2GeneratorSettings, inputs: int, outputs: int, resolution: int, up: int = 1):
        super().__init__()
        self.up, self.clamp, self.resolution, self.use_noise = up, s.conv_clamp, resolution, s.use_noise
        self.register_buffer("resample_filter", prepare_filter(RESAMPLE))
        self.affine = Linear(s.w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        if s.use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, w: Tensor, random: torch.Generator | None, gain: float = 1.0) -> Tensor:
        styles = self.affine(w)
        full = gain * math.sqrt(2)  # passed on by the leaky ReLU, so it may come before
        factors = demodulation(self.weight, styles) * full
        x = resampled_conv2d(scale_channels(x, styles), self.weight, self.resample_filter, self.up)
        x = scale_channels(x, factors, self.bias * full)
        if self.use_noise:
            x = x.add_((self._noise(x.shape[0], random) * (self.noise_strength * full)).to(x.dtype))
        return activate_and_clamp(x, "lrelu", None if self.clamp is None else self.clamp * gain)

    def _noise(self, count: int, random: torch.Generator | None) -> Tensor:
        if random is None:
            return self.noise_const
        shape = (count, 1, self.resolution, self.resolution)
        if self.training:
            return randn(shape, random, self.noise_const.device).to(self.noise_const.dtype)
        return torch.randn(shape, generator=random).to(self.noise_const)  # the same pictures on every device


class ToRGB(nn.Module):
    """A 1×1 modulated convolution without demodulation: maps -> a picture, float32."""

    def __init__(self, s: StyleGAN2GeneratorSettings, inputs: int, channels: int):
        super().__init__()
        self.clamp = s.conv_clamp
        self.affine = Linear(s.w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        styles = self.affine(w) / math.sqrt(channels)
        # One small matrix for each picture, times all its pixels: no scaled copy of the maps.
        kernels = (styles[:, None] * self.weight.flatten(1)).to(x.dtype)
        pixels = x.permute(0, 2, 3, 1).reshape(count, height * width, channels)
        image = torch.baddbmm(self.bias.to(x.dtype)[:, None], kernels, pixels.transpose(1, 2))
        return activate_and_clamp(image.view(count, -1, height, width), "linear", self.clamp).to(self.weight.dtype)
