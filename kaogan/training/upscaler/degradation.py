"""Degradations of small pictures in training: blur, other filters, noise, the patterns of GANs, JPEG."""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from kaogan.aux_models.upscaler.resampling import blurred, rounded, shrink
from kaogan.config.upscale_recipe import Degradation
from kaogan.core.images import to_float, to_uint8


def degrade(images: Tensor, scale: int, how: Degradation, random: np.random.Generator) -> Tensor:
    """The same size as ``shrink`` makes of ``images`` (1, 3, H, W), after degradations drawn from ``random``.

    Each one has a chance of one half: blur, another way to shrink, noise, the blotches and grids of GANs, JPEG.
    """
    if random.random() < 0.5:
        images = blurred(images, scale * random.uniform(*how.blur))
    mode = ("bilinear", "area")[random.integers(2)] if random.random() < how.plain else "bicubic"
    small = shrink(images, scale, mode)
    if random.random() < 0.5:
        small = small + _normal(random, small.shape) * (random.uniform(*how.noise) / 127.5)
    if random.random() < 0.5:
        small = small + gan_artifacts(small.shape, random) * (random.uniform(*how.blotches) / 127.5)
    small = rounded(small)
    return jpeg_compressed(small, int(random.uniform(*how.jpeg))) if random.random() < 0.5 else small


def gan_artifacts(shape: torch.Size | tuple[int, ...], random: np.random.Generator) -> Tensor:
    """What the upsampling of a GAN leaves: noise of a few px a spot, or a grid of period 2 or 4; about N(0, 1)."""
    count, channels, high, wide = shape
    if random.random() < 0.6:
        step = int(random.integers(2, 5))
        coarse = _normal(random, (count, channels, -(-high // step), -(-wide // step)))
        return F.interpolate(coarse, scale_factor=step, mode="bilinear", align_corners=False)[..., :high, :wide]
    period = int(random.choice((2, 4)))
    tile = _normal(random, (1, channels, period, period))
    pattern = tile.repeat(1, 1, -(-high // period), -(-wide // period))[..., :high, :wide]
    strength = F.interpolate(_normal(random, (count, 1, 3, 3)), (high, wide), mode="bicubic", align_corners=False)
    return pattern * strength.abs()


def jpeg_compressed(images: Tensor, quality: int) -> Tensor:
    """(N, 3, H, W) as it comes back from JPEG."""
    pictures = []
    for picture in to_uint8(images):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
        pictures.append(np.asarray(Image.open(buffer)))
    return to_float(np.stack(pictures))


def _normal(random: np.random.Generator, shape: torch.Size | tuple[int, ...]) -> Tensor:
    return torch.from_numpy(random.standard_normal(tuple(shape), np.float32))
