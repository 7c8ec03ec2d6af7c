"""Brightness, contrast, luma flip, hue and saturation: one affine map of (R, G, B) a picture."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kaogan.core.device import to_device
from kaogan.losses.augment.random_params import Draw

GREY = torch.full((3,), 1 / math.sqrt(3))  # the direction in which luma grows


def draw(count: int, p: float, random: torch.Generator, *, colourful: bool = True) -> Tensor:
    """Maps (N, 4, 4) on (R, G, B, 1), each transformation with probability p; without hue and saturation for grey."""
    chance = Draw(count, random)
    matrix = torch.eye(4).repeat(count, 1, 1)
    matrix = _add(chance.where(p, chance.normal(0.2), 0)) @ matrix
    matrix = _linear(_scale(2 ** chance.where(p, chance.normal(0.5), 0))) @ matrix
    flip = chance.where(p, chance.integer(2), 0)
    along = torch.outer(GREY, GREY)
    matrix = _linear(torch.eye(3) - 2 * along * flip[:, None, None]) @ matrix
    if colourful:
        matrix = _linear(_turn(chance.where(p, chance.uniform(-math.pi, math.pi), 0))) @ matrix
        strength = 2 ** chance.where(p, chance.normal(1.0), 0)
        matrix = _linear(along + (torch.eye(3) - along) * strength[:, None, None]) @ matrix
    return matrix


def apply(images: Tensor, matrix: Tensor) -> Tensor:
    """images (N, 3 or 1, H, W) under the maps (N, 4, 4)."""
    matrix = to_device(matrix, images.device, images.dtype)
    if images.shape[1] == 3:
        flat = matrix[:, :3, :3] @ images.flatten(2) + matrix[:, :3, 3:]
        return flat.view_as(images)
    grey = matrix[:, :3].mean(1)
    return images * grey[:, :3].sum(1).view(-1, 1, 1, 1) + grey[:, 3].view(-1, 1, 1, 1)


def _scale(factor: Tensor) -> Tensor:
    return torch.eye(3) * factor[:, None, None]


def _turn(angle: Tensor) -> Tensor:
    """Rotations about the grey axis: Rodrigues' formula."""
    x, y, z = GREY.tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    sin, cos = angle.sin()[:, None, None], angle.cos()[:, None, None]
    return torch.eye(3) * cos + cross * sin + torch.outer(GREY, GREY) * (1 - cos)


def _linear(matrix: Tensor) -> Tensor:
    whole = torch.eye(4).repeat(len(matrix), 1, 1)
    whole[:, :3, :3] = matrix
    return whole


def _add(amount: Tensor) -> Tensor:
    whole = torch.eye(4).repeat(len(amount), 1, 1)
    whole[:, :3, 3] = amount[:, None]
    return whole
