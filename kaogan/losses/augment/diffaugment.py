"""DiffAugment (Zhao et al. 2020): colour, translation and cutout of every picture, always."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

import torch
from torch import Tensor

from kaogan.core.device import to_device
from kaogan.core.windows import cut_windows
from kaogan.losses.augment import noise_cutout
from kaogan.losses.augment.random_params import Draw

Policy = Literal["color", "translation", "cutout"]
POLICIES: tuple[str, ...] = get_args(Policy)


def diff_augment(images: Tensor, random: torch.Generator, policy: Collection[str] = POLICIES) -> Tensor:
    """images (N, C, H, W) -> the same: brightness, saturation and contrast; a shift by up to an eighth; a box of half
    the side cut out."""
    if "color" in policy:
        images = _colour(images, random)
    if "translation" in policy:
        images = _translate(images, random)
    if "cutout" in policy:
        images = noise_cutout.cutout(images, 1.0, random)
    return images


def _colour(images: Tensor, random: torch.Generator) -> Tensor:
    chance = Draw(len(images), random)
    drawn = torch.stack([chance.uniform(low, high) for low, high in ((-0.5, 0.5), (0, 2), (0.5, 1.5))])
    brightness, saturation, contrast = to_device(drawn, images.device, images.dtype).view(3, -1, 1, 1, 1)
    images = images + brightness
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * saturation
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * contrast


def _translate(images: Tensor, random: torch.Generator, ratio: float = 1 / 8) -> Tensor:
    """A shift by whole pixels; what comes in is 0."""
    count, _, height, width = images.shape
    moves = []
    for side in (height, width):
        most = int(side * ratio + 0.5)
        moves.append(torch.randint(-most, most + 1, (count,), generator=random))
    down, across = (moved.tolist() for moved in moves)
    return cut_windows(images, [(-y, -x) for y, x in zip(down, across, strict=True)], (height, width))
