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
from kaogan.core.rng import randn
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


class Faults(NamedTuple):
    """One fault for each of N pictures, (N,) each: its kind, an ellipse in coordinates from -1 to 1, turned by an angle
    in radians, how strong it is, and whence the ellipse's pixels come: moved, and scaled about its centre."""

    kind: Tensor
    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    angle: Tensor
    amount: Tensor
    right: Tensor
    down: Tensor
    scale_x: Tensor
    scale_y: Tensor


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
    most, side = images.shape[2] // 8, images.shape[2]
    corners = torch.randint(-most, most + 1, (len(images), 2), generator=random).tolist()
    shifted = cut_windows(torch.cat([spoilt, mask], 1), [(y, x) for y, x in corners], (side, side))
    return Anomalies(shifted[:, :-1], shifted[:, -1:])


def _draw_faults(draw: Draw) -> Faults:
    """Small numbers on the CPU."""
    kind = draw.integer(len(KINDS))
    eyes, left, across = draw.fires(AT_EYES), draw.fires(0.5), draw.uniform(0.15, 0.55)
    x = torch.where(eyes, torch.where(left, -across, across), draw.uniform(-0.85, 0.85))
    y = torch.where(eyes, draw.uniform(-0.15, 0.38), draw.uniform(-0.8, 0.8))
    width, height, angle = draw.uniform(0.13, 0.34), draw.uniform(0.13, 0.34), draw.uniform(0, math.pi)
    width, height = torch.where(kind == STRUCK, 1.6 * width, width), torch.where(kind == STRUCK, 0.06, height)
    way, length = draw.uniform(0, 2 * math.pi), draw.uniform(0.08, 0.25)
    length = length * torch.where(kind == MOVED, 1.0, torch.where(kind == PASTED, 0.3, 0.0))
    scale = torch.where(draw.fires(0.5), draw.uniform(0.55, 0.76), draw.uniform(1.3, 1.8))
    scale_x = torch.where(kind == SCALED, scale, 1.0)
    scale_y = torch.where(kind == SQUASHED, draw.uniform(1.5, 2.5), scale_x)
    amount = draw.uniform(0.5, 1)
    return Faults(kind, x, y, width, height, angle, amount, length * way.cos(), length * way.sin(), scale_x, scale_y)


def _with_fault(images: Tensor, random: torch.Generator) -> tuple[Anomalies, Tensor]:
    """Images, each with a fault of a random kind, and how much it changes (N,)."""
    draw, side = Draw(len(images), random), images.shape[2]
    faults = Faults(*to_device(torch.stack(_draw_faults(draw)), images.device).unbind())
    waves = to_device(torch.randn(len(images), 2, 9, 9, generator=random), images.device)
    kind, amount = faults.kind, faults.amount.view(-1, 1, 1, 1)
    changed = _choose(kind == PASTED, images.roll(1, 0), images)
    changed = _choose(kind == MIRRORED, images.flip(3), changed)
    changed = F.grid_sample(changed, _grid(faults, waves, side), padding_mode="border", align_corners=False)
    coarse = _blur(images, side * 5 / 64)
    soft = _blur(images, side * (1.1 + 1.4 * float(torch.rand((), generator=random))) / 64)
    changed = _choose(kind == BLURRED, soft, changed)
    changed = _choose(kind == FADED, coarse + (images - coarse) * (1 - amount), changed)
    changed = _choose(kind == STRUCK, images - 1.5 * amount, changed)  # a dark line
    changed = _choose(kind == RECOLOURED, images + amount * (_recolour(images, random) - images), changed)
    mask = _ellipses(faults, side)
    spoilt = images + mask * (changed.clamp(-1, 1) - images)
    return Anomalies(spoilt, mask), (spoilt - images).abs().mean(1).sum((1, 2)) / mask.sum((1, 2, 3)).clamp(min=1)


def _graded(images: Tensor, random: torch.Generator) -> Tensor:
    """Images with other light, contrast and grain, which a generator's have, too: they shall prove nothing."""
    draw = Draw(len(images), random)
    drawn = [draw.uniform(0.9, 1.1), draw.uniform(-0.075, 0.075), draw.where(0.4, draw.uniform(0, 0.04), 0.0)]
    contrast, light, grain = to_device(torch.stack(drawn), images.device).view(3, -1, 1, 1, 1)
    return (contrast * (images + grain * randn(images.shape, random, images.device)) + light).clamp(-1, 1)


def _grid(faults: Faults, waves: Tensor, side: int) -> Tensor:
    """Where every pixel (N, side, side, 2) is taken from: moved, scaled or squashed about the fault, or warped."""
    x, y, nothing = faults.x, faults.y, torch.zeros_like(faults.x)
    rows = [faults.scale_x, nothing, x * (1 - faults.scale_x) + faults.right,
            nothing, faults.scale_y, y * (1 - faults.scale_y) + faults.down]  # fmt: skip
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), [len(x), 1, side, side], align_corners=False)
    field = 0.13 * F.interpolate(waves, (side, side), mode="bicubic").permute(0, 2, 3, 1)
    return grid + _choose(faults.kind == WARPED, field, torch.zeros_like(field))


def _ellipses(faults: Faults, side: int) -> Tensor:
    """Soft ellipses (N, 1, side, side)."""
    place = (torch.arange(side, device=faults.x.device) + 0.5) * 2 / side - 1
    x, y, width, height, angle = (value.view(-1, 1, 1) for value in faults[1:6])
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
