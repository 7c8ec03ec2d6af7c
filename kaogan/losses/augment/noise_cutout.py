"""Noise and cutout, which a generator can learn to imitate: not among the default groups."""

from __future__ import annotations

import torch
from torch import Tensor

from kaogan.core.device import to_device
from kaogan.core.rng import randn
from kaogan.losses.augment.random_params import Draw


def noise(images: Tensor, p: float, random: torch.Generator) -> Tensor:
    """Adds N(0, 1) times a strength |N(0, 0.1²)| for each picture."""
    chance = Draw(len(images), random)
    strength = chance.where(p, chance.normal(0.1).abs(), 0)
    drawn = randn(images.shape, random, images.device)
    return images + (drawn * to_device(strength, images.device).view(-1, 1, 1, 1)).to(images.dtype)


def cutout(images: Tensor, p: float, random: torch.Generator, size: float = 0.5) -> Tensor:
    """Sets to 0 a box of ``size`` of the width and height, its centre anywhere in the picture."""
    chance, (height, width) = Draw(len(images), random), images.shape[2:]
    x, y, fired = chance.uniform(0, 1), chance.uniform(0, 1), chance.fires(p)
    across = (torch.arange(width) + 0.5) / width
    down = (torch.arange(height) + 0.5) / height
    outside_x = (across - x[:, None]).abs() >= size / 2
    outside_y = (down - y[:, None]).abs() >= size / 2
    kept = outside_y[:, :, None] | outside_x[:, None, :] | ~fired[:, None, None]
    return images * to_device(kept[:, None], images.device).to(images.dtype)
