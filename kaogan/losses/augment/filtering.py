"""Image-space filtering: four frequency bands, each made stronger or weaker."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.core.device import to_device
from kaogan.losses.augment.random_params import Draw

SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
POWER = torch.tensor([10.0, 1.0, 1.0, 1.0]) / 13  # of natural pictures in the bands: 1/f


@cache
def filter_bank() -> Tensor:
    """The taps of the four bands, (4, 43); they add up to a single 1."""
    h = np.array(SYM2)
    alternating = h * (-1.0) ** np.arange(len(h))
    low, high = (np.convolve(taps, taps[::-1]) / 2 for taps in (h, alternating))
    bank = np.eye(4, 1)  # the first band is all there is
    for band in range(1, 4):
        wide = np.zeros((4, 2 * bank.shape[1] - 1))
        wide[:, ::2] = bank
        bank = np.stack([np.convolve(row, low) for row in wide])
        middle = (bank.shape[1] - len(high)) // 2
        bank[band, middle : middle + len(high)] += high
    return torch.from_numpy(bank).float()


def draw(count: int, p: float, random: torch.Generator) -> Tensor:
    """The gains (N, 4) of the bands; the power of a natural picture stays as it is."""
    chance = Draw(count, random)
    gains = torch.ones(count, 4)
    for band in range(4):
        gain = torch.ones(count, 4)
        gain[:, band] = 2 ** chance.where(p, chance.normal(1.0), 0)
        gains = gains * gain / (POWER * gain.square()).sum(1, keepdim=True).sqrt()
    return gains


def apply(images: Tensor, gains: Tensor) -> Tensor:
    """images (N, C, H, W) filtered with the gains (N, 4); the borders are reflected."""
    taps = to_device(gains @ filter_bank(), images.device, images.dtype)
    count, channels, height, width = images.shape
    taps = taps.repeat_interleave(channels, 0)
    edge = taps.shape[1] // 2
    x = images.reshape(1, count * channels, height, width)
    x = F.pad(x, (edge, edge, edge, edge), "reflect") if edge < min(height, width) else _reflect(x, edge)
    x = F.conv2d(x, taps[:, None, None, :], groups=count * channels)
    x = F.conv2d(x, taps[:, None, :, None], groups=count * channels)
    return x.view_as(images)


def _reflect(x: Tensor, edge: int) -> Tensor:
    """A reflection that is longer than the picture goes back and forth."""
    for axis in (2, 3):
        length = x.shape[axis]
        where = np.pad(np.arange(length), edge, mode="reflect") if length > 1 else np.zeros(2 * edge + 1, int)
        x = x.index_select(axis, to_device(torch.from_numpy(where), x.device))
    return x
