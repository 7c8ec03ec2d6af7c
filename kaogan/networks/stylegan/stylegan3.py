"""StyleGAN3's alias-free generator (Karras et al. 2021), T and R, parameter for parameter as published."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from kaogan.config.network_settings import NetworkSettings
from kaogan.networks.base import ImageSizes, resolution_stages
from kaogan.networks.layers import full_precision
from kaogan.networks.registry import register_generator
from kaogan.networks.stylegan.filters import design_lowpass
from kaogan.networks.stylegan.layers import SLOPE, Linear, demodulation, scale_channels
from kaogan.networks.stylegan.mapping import Mapping, StyleGenerator
from kaogan.networks.stylegan.resampling import crop_before, filtered_leaky_relu

SIZES = ImageSizes(fewest=2)


class StyleGAN3GeneratorSettings(NetworkSettings):
    """The generator; the defaults are T. R has conv_kernel 1, use_radial_filters and twice the channels."""

    family: Literal["stylegan3"] = Field("stylegan3", description="the family of networks")
    w_dim: int = Field(512, ge=1, le=8192, description="length of a style w")
    mapping_layers: int = Field(2, ge=1, le=32, description="layers of the mapping network")
    channel_base: int = Field(32768, ge=4, le=2**20, description="channels are (channel_base / 2) / cutoff")
    channel_max: int = Field(512, ge=1, le=8192, description="but never more than this")
    num_layers: int = Field(14, ge=2, le=64, description="layers but the last, which makes the picture")
    num_critical: int = Field(2, ge=0, le=64, description="critically sampled layers at the end")
    first_cutoff: float = Field(2.0, gt=0, description="cutoff frequency of the first layer, cycles per picture")
    first_stopband: float = Field(2**2.1, gt=0, description="its minimum stopband")
    last_stopband_rel: float = Field(2**0.3, gt=1, description="last stopband as a multiple of the last cutoff")
    margin_size: int = Field(10, ge=0, le=64, description="pixels kept beyond the picture's borders")
    output_scale: float = Field(0.25, gt=0, description="scale of the picture")
    conv_kernel: Literal[1, 3] = Field(3, description="3 for T, 1 for R")
    use_radial_filters: bool = Field(False, description="the same filters in every direction: R")
    filter_size: int = Field(6, ge=2, le=32, multiple_of=2, description="taps of a filter at the lower rate")
    lrelu_upsampling: Literal[1, 2, 4] = Field(2, description="rate of the non-linearities against that of the maps")
    conv_clamp: float | None = Field(256.0, gt=0, description="limit of every map; null: none")
    magnitude_ema_beta: float = Field(0.999, ge=0, lt=1, description="memory of the maps' magnitudes, per step")
    w_avg_beta: float = Field(0.998, ge=0, lt=1, description="memory of the average of w, per step")

    @model_validator(mode="after")
    def _possible(self) -> StyleGAN3GeneratorSettings:
        if self.num_critical >= self.num_layers:
            raise ValueError(f"num_critical must be less than num_layers, {self.num_layers}")
        if self.first_stopband <= self.first_cutoff:
            raise ValueError(f"first_stopband must exceed first_cutoff, {self.first_cutoff}")
        return self


@dataclass(frozen=True)
class Entry:
    """What the schedule says of one layer's output."""

    cutoff: float
    half_width: float
    rate: int
    size: int
    channels: int


def schedule(s: StyleGAN3GeneratorSettings, image_size: int, channels: int) -> list[Entry]:
    """num_layers + 1 entries; a layer's input is the entry before its own (the first's its own). Appendix D."""
    steps = np.minimum(np.arange(s.num_layers + 1) / (s.num_layers - s.num_critical), 1)
    last_cutoff = image_size / 2
    cutoffs = s.first_cutoff * (last_cutoff / s.first_cutoff) ** steps
    stopbands = s.first_stopband * (last_cutoff * s.last_stopband_rel / s.first_stopband) ** steps
    rates = np.exp2(np.ceil(np.log2(np.minimum(2 * stopbands, image_size))))
    widths = np.maximum(stopbands, rates / 2) - cutoffs
    sizes = rates + 2 * s.margin_size
    sizes[-2:] = image_size
    counts = np.rint(np.minimum(s.channel_base / 2 / cutoffs, s.channel_max)).clip(1)
    counts[-1] = channels
    rows = zip(cutoffs, widths, rates, sizes, counts, strict=True)
    return [Entry(float(c), float(w), int(r), int(n), int(k)) for c, w, r, n, k in rows]


@register_generator("stylegan3", tiny={"w_dim": 8, "num_layers": 4, "channel_base": 128, "channel_max": 8})
class StyleGAN3Generator(StyleGenerator):
    """latents (N, Z), attributes (N, A) -> images (N, C, S, S), S = 16, 32, ... 1024, else UsageError."""

    Settings = StyleGAN3GeneratorSettings
    image_sizes = SIZES

    synthesis: Synthesis

    def __init__(
        self, settings: StyleGAN3GeneratorSettings, *, latent_size: int, attribute_size: int, image_size: int,
        channels: int,
    ):  # fmt: skip
        super().__init__()
        s = settings
        resolution_stages("stylegan3", image_size, SIZES)
        self.synthesis = Synthesis(s, image_size, channels)
        self.mapping = Mapping(latent_size, attribute_size, s.w_dim, s.mapping_layers, s.w_avg_beta)


class Synthesis(nn.Module):
    """styles (N, num_ws, w_dim) -> images (N, C, S, S), float32."""

    def __init__(self, s: StyleGAN3GeneratorSettings, image_size: int, channels: int):
        super().__init__()
        self.num_ws, self.output_scale = s.num_layers + 2, s.output_scale
        entries = schedule(s, image_size, channels)
        self.input = FourierInput(s.w_dim, entries[0])
        self.layer_names = []
        for index, after in enumerate(entries):
            layer = Layer(
                s, entries[max(index - 1, 0)], after,
                critical=index >= s.num_layers - s.num_critical, torgb=index == s.num_layers,
            )  # fmt: skip
            self.layer_names.append(f"L{index}_{after.size}_{after.channels}")
            self.add_module(self.layer_names[-1], layer)

    def forward(self, styles: Tensor, random: torch.Generator | None = None, update_emas: bool = False) -> Tensor:
        first, *rest = styles.unbind(1)
        x = self.input(first)
        for name, w in zip(self.layer_names, rest, strict=True):
            x = self.get_submodule(name)(x, w, update_emas)
        return x.to(styles.dtype) * self.output_scale


class FourierInput(nn.Module):
    """w (N, w_dim) -> Fourier features (N, C, S, S), rotated and shifted as w says and then as ``transform`` does.

    ``transform`` (3, 3) is the inverse of what is wanted of the picture, in units of its width. Section 3.2.
    """

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, w_dim: int, entry: Entry):
        super().__init__()
        self.size, self.rate, self.bandwidth = entry.size, entry.rate, entry.cutoff
        drawn = torch.randn(entry.channels, 2)
        radii = drawn.square().sum(1, keepdim=True).sqrt()
        # Uniform in the disc of radius ``bandwidth``: exp(-r²/2) is uniform for a normal vector of length r.
        self.register_buffer("freqs", drawn / radii * (-radii.square() / 4).exp() * self.bandwidth)
        self.register_buffer("phases", torch.rand(entry.channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))
        self.weight = nn.Parameter(torch.randn(entry.channels, entry.channels))
        self.affine = Linear(w_dim, 4, weight_init=0.0, bias_init=[1.0, 0.0, 0.0, 0.0])

    def forward(self, w: Tensor) -> Tensor:
        with full_precision(w):
            freqs, phases, amplitudes = self._moved(self.affine(w))
            where = (torch.arange(self.size, device=w.device, dtype=freqs.dtype) + 0.5 - self.size / 2) / self.rate
            along_x = where[:, None] * freqs[:, None, :, 0]  # (N, S, C)
            along_y = where[:, None] * freqs[:, None, :, 1] + phases[:, None]
            angles = along_y[:, :, None] + along_x[:, None]  # (N, S, S, C): rows, then columns
            features = (2 * math.pi * angles).sin() * amplitudes[:, None, None]
            out = features @ (self.weight.t() / math.sqrt(len(self.weight)))
            return out.permute(0, 3, 1, 2)

    def _moved(self, motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frequencies (N, C, 2), phases (N, C) and amplitudes (N, C) after the rotation and shift (N, 4)."""
        cos, sin, x, y = (motion / motion[:, :2].norm(dim=1, keepdim=True)).unbind(1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        rotation = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], 1).view(-1, 3, 3)
        shift = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], 1).view(-1, 3, 3)
        matrix = rotation @ shift @ self.transform
        phases = self.phases + (self.freqs @ matrix[:, :2, 2:]).squeeze(2)
        freqs = self.freqs @ matrix[:, :2, :2]
        # What was moved beyond the layer's band is faded out.
        beyond = (freqs.norm(dim=2) - self.bandwidth) / (self.rate / 2 - self.bandwidth)
        return freqs, phases, (1 - beyond).clamp(0, 1)


class Layer(nn.Module):
    """A modulated convolution and an alias-free non-linearity; ``torgb`` makes the picture instead, with neither
    filters nor demodulation. (N, I, n, n), w (N, w_dim) -> (N, O, m, m). Section 3.1 and appendix D."""

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, s: StyleGAN3GeneratorSettings, before: Entry, after: Entry, critical: bool, torgb: bool):
        super().__init__()
        self.torgb, self.clamp, self.beta, self.size = torgb, s.conv_clamp, s.magnitude_ema_beta, after.size
        kernel = 1 if torgb else s.conv_kernel
        rate = max(before.rate, after.rate) * (1 if torgb else s.lrelu_upsampling)
        self.up, self.down = rate // before.rate, rate // after.rate
        up_taps = s.filter_size * self.up if self.up > 1 and not torgb else 1
        down_taps = s.filter_size * self.down if self.down > 1 and not torgb else 1

        self.affine = Linear(s.w_dim, before.channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(after.channels, before.channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(after.channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        radial = s.use_radial_filters and not critical
        self.register_buffer("up_filter", design_lowpass(up_taps, before.cutoff, before.half_width, rate))
        self.register_buffer("down_filter", design_lowpass(down_taps, after.cutoff, after.half_width, rate, radial))

        # The convolution is "full": k - 1 zeros around its input. What the filters then crop need not be computed.
        wide = before.size + kernel - 1
        total = (after.size - 1) * self.down + 1 - wide * self.up + up_taps + down_taps - 2
        self.padding = (total + self.up) // 2
        raised = (after.size - 1) * self.down + down_taps
        unused = crop_before(wide, up_taps, self.up, self.padding, raised)
        self.padding += unused * self.up
        self.conv_padding = max(kernel - 1 - unused, 0)
        self.crop = max(unused - (kernel - 1), 0)

    def forward(self, x: Tensor, w: Tensor, update_emas: bool = False) -> Tensor:
        if update_emas:
            power = torch.linalg.vector_norm(x.detach(), dtype=torch.float32).square() / x.numel()
            self.magnitude_ema.copy_(power.lerp(self.magnitude_ema, self.beta))
        magnitude = self.magnitude_ema.rsqrt()
        styles: Tensor = self.affine(w)
        weight: Tensor = self.weight
        factors = None
        if self.torgb:
            styles = styles / math.sqrt(weight[0].numel())
        else:
            # Both normalisations cancel in the demodulation; they only keep its numbers near 1. The original's is over
            # the batch, on which a picture would then depend in its last bits.
            weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
            styles = styles * styles.square().mean(1, keepdim=True).rsqrt()
            factors = demodulation(weight, styles)
        if self.crop:
            x = x[:, :, self.crop : -self.crop, self.crop : -self.crop]
        x = scale_channels(x, styles * magnitude)
        if factors is None:
            x = F.conv2d(x, weight, self.bias)
        else:
            x = F.conv2d(x, weight, padding=self.conv_padding)
            x = scale_channels(x, factors, self.bias)
        plain = self.torgb
        return filtered_leaky_relu(
            x, self.up_filter, self.down_filter, up=self.up, down=self.down, padding=self.padding, size=self.size,
            gain=1.0 if plain else math.sqrt(2), slope=1.0 if plain else SLOPE, clamp=self.clamp,
        )  # fmt: skip
