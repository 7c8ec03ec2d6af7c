"""A map of anomalies: where a picture is at fault, from the maps of trained networks and from its pixels.

The trained networks are what makes it learn in minutes; the pixels are what a generator has not learnt to please yet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = (16, 8, 4)
"""Sides of the maps at which features of all networks are brought together, px; the first is the result's."""
STEM = 24
GROUPS = 8  # of channels for a norm, where they can be shared out so


class AnomalyMap(nn.Module):
    """Pictures (N, C, S, S) and maps of trained networks (N, Cᵢ, sᵢ, sᵢ) -> logits (N, 1, 16, 16), high at faults.

    Group norm, because what is wrong with all pictures of a batch shall not vanish against their own mean.
    """

    def __init__(self, channels: int, maps: Sequence[tuple[int, int]], width: int) -> None:
        super().__init__()
        self.levels = [next((level for level in LEVELS if side >= level), LEVELS[-1]) for _, side in maps]
        self.inputs = nn.ModuleList(
            nn.Sequential(GroupNorm(1, before), _projection(before, width, side > LEVELS[0])) for before, side in maps
        )
        self.pixels = nn.Sequential(
            nn.Conv2d(channels, STEM, 4, 2, 1), _norm(STEM), nn.ReLU(inplace=True),
            *_convolution(STEM, 32), *_convolution(32, width, 2),
        )  # fmt: skip
        self.blocks = nn.ModuleList(Residual(width) for _ in LEVELS)
        self.down = nn.ModuleList(nn.Sequential(*_convolution(width, width, 2)) for _ in LEVELS[1:])
        self.last = nn.Sequential(*_convolution(width, width), nn.Conv2d(width, 1, 1))

    def forward(self, images: Tensor, maps: Sequence[Tensor]) -> Tensor:
        small = images if images.shape[2] == 64 else F.interpolate(images, (64, 64), mode="bilinear", antialias=True)
        found = {LEVELS[0]: self.pixels(small)}
        for level, project, x in zip(self.levels, self.inputs, maps, strict=True):
            projected = project(x)
            if projected.shape[2] != level:
                projected = F.adaptive_avg_pool2d(projected, level)
            found[level] = found[level] + projected if level in found else projected
        x, going_down = self.blocks[0](found[LEVELS[0]]), []
        for level, halve, block in zip(LEVELS[1:], self.down, self.blocks[1:], strict=True):
            going_down.append(x)
            x = block(halve(x) + found[level] if level in found else halve(x))
        for finer in reversed(going_down):
            x = finer + F.interpolate(x, scale_factor=2.0)
        logits: Tensor = self.last(x)
        return logits


class Residual(nn.Module):
    """(N, width, s, s) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(width, width), nn.Conv2d(width, width, 3, padding=1, bias=False), _norm(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


def _convolution(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return [layer, _norm(after), nn.ReLU(inplace=True)]


class GroupNorm(nn.GroupNorm):
    """In the plain layout: the derivative of channels-last ones crashes in PyTorch 2.13 on some processors."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.contiguous())


def _norm(channels: int) -> GroupNorm:
    return GroupNorm(math.gcd(GROUPS, channels), channels)


def _projection(before: int, after: int, halves: bool) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, 2, 1) if halves else nn.Conv2d(before, after, 1)


def anomaly_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Logits (N, 1, h, w) against where the faults are, (N, 1, H, W) in [0, 1] -> cross-entropy, a scalar. A place is
    at fault when a third of it is; such places are few, so each counts three times."""
    target = (F.adaptive_avg_pool2d(masks, (logits.shape[2], logits.shape[3])) > 0.35).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, target, pos_weight=torch.full([], 3.0, device=logits.device))
