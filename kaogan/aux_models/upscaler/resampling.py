"""Fixed filters around an upscaler: antialiased shrinking, Gaussian blur, Pillow's interpolations."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from kaogan.core.images import Pictures

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


def shrink(images: Tensor, scale: int, mode: str = "bicubic") -> Tensor:
    """float (N, C, H, W) in [-1, 1] -> (N, C, H / scale, W / scale), antialiased, rounded to the 256 steps of a file.

    ``bicubic`` is Pillow's (a = -0.5); ``bilinear`` antialiased as well, ``area`` the mean of each square.
    """
    if mode == "area":
        small = F.avg_pool2d(images, scale)
    else:
        size = (images.shape[2] // scale, images.shape[3] // scale)
        small = F.interpolate(images, size, mode=mode, antialias=True, align_corners=False)
    return rounded(small)


def rounded(images: Tensor) -> Tensor:
    return images.clamp(-1, 1).add(1).mul(127.5).round().div(127.5).sub(1)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """float (N, C, H, W) under a Gaussian of ``sigma`` px, edges repeated; 0 leaves the images as they are."""
    if sigma <= 0:
        return images
    radius = max(1, round(2.5 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=images.device) / sigma) ** 2)
    taps = (taps / taps.sum()).repeat(images.shape[1], 1, 1, 1)
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    rows = F.conv2d(padded, taps, groups=images.shape[1])
    return F.conv2d(rows, taps.transpose(2, 3), groups=images.shape[1])


def resized(pictures: Pictures, scale: int, how: str) -> Pictures:
    """uint8 (N, H, W, 3) -> (N, scale·H, scale·W, 3) by one of ``FILTERS``, as Pillow does it."""
    size = (pictures.shape[2] * scale, pictures.shape[1] * scale)
    return np.stack([np.asarray(Image.fromarray(p).resize(size, FILTERS[how])) for p in pictures])
