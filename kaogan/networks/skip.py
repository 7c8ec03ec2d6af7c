"""A light generator whose coarse maps choose the channels of the fine ones (Liu et al. 2021, "Towards Faster and
Stabilized GAN Training", FastGAN): gated linear units, skip-layer excitation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kaogan.networks.base import Settings, condition, doublings, picture
from kaogan.networks.convolutions import ConvTranspose2d


class SkipGeneratorSettings(Settings):
    """The generator."""

    family: Literal["skip"] = Field("skip", description="the family of networks")
    width: int = Field(32, ge=1, le=4096, description="channels of the map of the picture's size; deeper maps double")
    max_width: int = Field(256, ge=1, le=8192, description="no map has more channels than this")
    upsample: Literal["transpose", "nearest", "bilinear", "mixed"] = Field("transpose", description="how a map doubles")
    activation: Literal["relu", "glu"] = Field("glu", description="of the hidden maps")
    excitation: bool = Field(True, description="maps at 4 and 8 px choose the channels of those 8 times as large")
    refine: bool = Field(False, description="a residual 3x3 convolution at 8, 16 and 32 px")
    last: Literal["conv", "transpose"] = Field("conv", description="a map of the picture's size and a 3x3, or none")
    gain: bool = True


class SkipGenerator(nn.Module):
    """latents (N, Z), codes (N, A) -> images (N, C, S, S) in [-1, 1]. Raises UsageError for an S not 8, 16, 32, ..."""

    def __init__(
        self, settings: SkipGeneratorSettings, *, latent_size: int, attribute_size: int, image_size: int, channels: int
    ):
        super().__init__()
        s, self.attribute_size = settings, attribute_size
        size, stages = doublings("skip", image_size)
        self.start = size
        count = stages + (s.last == "conv")
        widths = [min(s.width << i, s.max_width) for i in range(count)][::-1]
        if s.last == "transpose":
            widths = [min(s.width << (i + 1), s.max_width) for i in range(count)][::-1]
        twice = 2 if s.activation == "glu" else 1
        act: nn.Module = nn.GLU(1) if s.activation == "glu" else nn.ReLU(inplace=True)
        self.stages = nn.ModuleList()
        before = latent_size + attribute_size
        for stage, width in enumerate(widths):
            layers: list[nn.Module]
            if stage == 0:
                layers = [ConvTranspose2d(before, twice * width, size, bias=False)]
            elif s.upsample == "transpose" or (s.upsample == "mixed" and stage < len(widths) - 1):
                layers = [ConvTranspose2d(before, twice * width, 4, 2, 1, bias=False)]
            else:
                layers = [nn.Upsample(scale_factor=2.0, mode="bilinear" if s.upsample in ("bilinear","mixed") else "nearest"), nn.Conv2d(before, twice * width, 3, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(twice * width), act]
            if s.refine and 1 <= stage <= 3:
                layers.append(Refine(width))
            self.stages.append(nn.Sequential(*layers))
            before = width
        self.gates = nn.ModuleDict()
        if s.excitation:
            for low in range(1, len(widths) - 3):
                self.gates[str(low + 3)] = Gate(widths[low], widths[low + 3])
            if len(widths) > 3:
                self.gates["3"] = Gate(widths[0], widths[3])
        self.to_image: nn.Module = (
            nn.Conv2d(before, channels, 3, padding=1)
            if s.last == "conv"
            else ConvTranspose2d(before, channels, 4, 2, 1)
        )

    def forward(self, latents: Tensor, attributes: Tensor | None = None) -> Tensor:
        x = condition(latents, attributes, self.attribute_size)[:, :, None, None]
        maps: list[Tensor] = []
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if str(number) in self.gates:
                x = x * self.gates[str(number)](maps[number - 3])
            maps.append(x)
        return picture(self.to_image(x))


class Refine(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Gate(nn.Module):
    """Skip-layer excitation: a coarse map (N, before, h, w) -> factors (N, after, 1, 1)."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.AdaptiveAvgPool2d(4), nn.Conv2d(before, after, 4), nn.SiLU(inplace=True), nn.Conv2d(after, after, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)
