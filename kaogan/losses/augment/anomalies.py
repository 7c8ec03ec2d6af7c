"""Simulated anomalies: real pictures with a fault at one place, such as an eye of another picture, moved or blurred.

What is pasted, moved or smeared is a soft ellipse, most often where the eyes of a cropped face are: there generators
fail first and people look first. Training on pictures that are spoilt at a known place is how anomalies are found
without examples of them (Li et al. 2021, "CutPaste", arXiv:2104.04015; Zavrtanik et al. 2021, "DRAEM",
arXiv:2108.07610).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.core.device import to_device
from kaogan.core.windows import cut_windows
from kaogan.losses.augment.random_params import Draw

SHARE = 0.6
"""Of the pictures that get a fault."""
VISIBLE = 0.05
"""Mean change inside the ellipse, of pictures in [-1, 1], below which a picture counts as whole and stays as it is."""
AT_EYES = 0.6
"""Of the faults that lie where the eyes are."""
PASTED, MIRRORED, MOVED, SCALED, SQUASHED, BLURRED, RECOLOURED, FADED, WARPED, STRUCK = KINDS = range(10)


class Anomalies(NamedTuple):
    """Pictures (N, C, H, W) and where they are at fault, (N, 1, H, W) in [0, 1]: 0 everywhere in one that is whole."""

    images: Tensor
    masks: Tensor


def simulate_anomalies(images: Tensor, random: torch.Generator) -> Anomalies:
    """Square images (N, C, S, S) in [-1, 1] -> most of them with a fault, all of them shifted by up to an eighth.

    Of two faults, the one that changes more is taken: on bare skin or background most would be invisible.
    """
    images = images.float().contiguous()
    one, two = (_with_fault(images, random) for _ in range(2))
    chance = to_device(torch.rand(len(images), generator=random), images.device)
    first, change = one[1] > two[1], torch.maximum(one[1], two[1])
    spoilt, mask = (_choose(first, a, b) for a, b in zip(one[0], two[0], strict=True))
    faulty = (change > VISIBLE) & (chance < SHARE)
    spoilt, mask = _choose(faulty, spoilt, images), _choose(faulty, mask, torch.zeros_like(mask))
    spoilt = _graded(spoilt, random)
    most = images.shape[2] // 8
    corners = torch.randint(-most, most + 1, (len(images), 2), generator=random).tolist()
    shifted = cut_windows(
        torch.cat([spoilt, mask], 1), [(y, x) for y, x in corners], (images.shape[2], images.shape[3])
    )
    return Anomalies(shifted[:, :-1], shifted[:, -1:])


def _with_fault(images: Tensor, random: torch.Generator) -> tuple[Anomalies, Tensor]:
    """Images, each with a fault of a random kind, and how much it changes (N,)."""
    count, device, draw = len(images), images.device, Draw(len(images), random)
    kind = torch.randint(len(KINDS), (count,), generator=random)
    eyes, left = draw.uniform(0, 1) < AT_EYES, draw.uniform(0, 1) < 0.5
    across = draw.uniform(0.15, 0.55)
    x = torch.where(eyes, torch.where(left, -across, across), draw.uniform(-0.85, 0.85))
    y = torch.where(eyes, draw.uniform(-0.15, 0.38), draw.uniform(-0.8, 0.8))
    width, height = draw.uniform(0.13, 0.34), draw.uniform(0.13, 0.34)
    width, height = torch.where(kind == STRUCK, 1.6 * width, width), torch.where(kind == STRUCK, 0.06, height)
    mask = to_device(_ellipses(x, y, width, height, draw.uniform(0, math.pi), images.shape[2]), device)
    kind_there = to_device(kind, device)
    amount = to_device(draw.uniform(0.5, 1), device).view(-1, 1, 1, 1)
    changed = _choose(kind_there == PASTED, images.roll(1, 0), images)
    changed = _choose(kind_there == MIRRORED, images.flip(3), changed)
    changed = F.grid_sample(changed, to_device(_grid(kind, x, y, draw, images.shape[2]), device),
                            padding_mode="border", align_corners=False)  # fmt: skip
    coarse = _blur(images, images.shape[2] * 5 / 64)
    sharpness = float(torch.rand((), generator=random))
    changed = _choose(kind_there == BLURRED, _blur(images, images.shape[2] * (1.1 + 1.4 * sharpness) / 64), changed)
    changed = _choose(kind_there == FADED, coarse + (images - coarse) * (1 - amount), changed)
    changed = _choose(kind_there == STRUCK, images - 1.5 * amount, changed)  # a dark line
    changed = _choose(kind_there == RECOLOURED, images + amount * (_recolour(images, random) - images), changed)
    spoilt = images + mask * (changed.clamp(-1, 1) - images)
    return Anomalies(spoilt, mask), (spoilt - images).abs().mean(1).sum((1, 2)) / mask.sum((1, 2, 3)).clamp(min=1)


def _graded(images: Tensor, random: torch.Generator) -> Tensor:
    """Images with other light, contrast and grain, which a generator's have, too: they shall prove nothing."""
    draw = Draw(len(images), random)
    grain = torch.where(draw.fires(0.4), draw.uniform(0, 0.04), 0.0).view(-1, 1, 1, 1)
    noise = grain * torch.randn(images.shape, generator=random)
    contrast, light = (
        to_device(draw.uniform(*span).view(-1, 1, 1, 1), images.device) for span in ((0.9, 1.1), (-0.075, 0.075))
    )
    return (contrast * (images + to_device(noise, images.device)) + light).clamp(-1, 1)


def _grid(kind: Tensor, x: Tensor, y: Tensor, draw: Draw, side: int) -> Tensor:
    """Where every pixel (N, side, side, 2) is taken from: moved, scaled or squashed about the fault, or warped."""
    way, length, larger = draw.uniform(0, 2 * math.pi), draw.uniform(0.08, 0.25), draw.uniform(0, 1) < 0.5
    length = length * torch.where(kind == MOVED, 1.0, torch.where(kind == PASTED, 0.3, 0.0))
    scale = torch.where(larger, draw.uniform(0.55, 0.76), draw.uniform(1.3, 1.8))
    across = torch.where(kind == SCALED, scale, 1.0)
    down = torch.where(kind == SQUASHED, draw.uniform(1.5, 2.5), across)
    theta = torch.zeros(len(kind), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = across, down
    theta[:, 0, 2], theta[:, 1, 2] = x * (1 - across) + length * way.cos(), y * (1 - down) + length * way.sin()
    grid = F.affine_grid(theta, [len(kind), 1, side, side], align_corners=False)
    waves = torch.randn(len(kind), 2, 9, 9, generator=draw.random)
    field = 0.13 * F.interpolate(waves, (side, side), mode="bicubic").permute(0, 2, 3, 1)
    return grid + _choose(kind == WARPED, field, torch.zeros_like(field))


def _ellipses(x: Tensor, y: Tensor, width: Tensor, height: Tensor, angle: Tensor, side: int) -> Tensor:
    """Soft ellipses (N, 1, side, side) about centres in [-1, 1], turned by angles in radians."""
    place = (torch.arange(side) + 0.5) * 2 / side - 1
    x, y, width, height, angle = (value.view(-1, 1, 1) for value in (x, y, width, height, angle))
    right, down = place.view(1, 1, -1) - x, place.view(1, -1, 1) - y
    across, along = right * angle.cos() + down * angle.sin(), down * angle.cos() - right * angle.sin()
    away = ((across / width).square() + (along / height).square()).sqrt()
    return ((1.15 - away) / 0.3).clamp(0, 1)[:, None]


def _recolour(images: Tensor, random: torch.Generator) -> Tensor:
    """Images in other colours: red, green and blue change places; grey ones change their contrast."""
    mean = images.mean(1, keepdim=True)
    if images.shape[1] != 3:
        return 1.6 * images - 0.6 * images.mean((2, 3), keepdim=True)
    order = ((2, 0, 1), (1, 2, 0), (2, 1, 0), (0, 2, 1), (1, 0, 2))[int(torch.randint(5, (), generator=random))]
    return mean + 1.3 * (torch.stack([images[:, channel] for channel in order], 1) - mean)


def _blur(images: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur as two products with a matrix (side, side): depthwise convolutions are slow on a CPU."""
    place = torch.arange(images.shape[2], dtype=torch.float32)
    weights = torch.exp(-((place[:, None] - place) / sigma).square() / 2)
    weights = torch.where(weights < 1e-6, 0.0, weights)  # denormal numbers would take a hundred times as long
    matrix = to_device(weights / weights.sum(1, keepdim=True), images.device)
    return matrix @ images @ matrix.T


def _choose(which: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """The pictures of ``yes`` where ``which`` (N,) holds, else those of ``no``."""
    return torch.where(which.view(-1, 1, 1, 1), yes, no)
