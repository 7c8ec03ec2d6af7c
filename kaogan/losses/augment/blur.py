"""A blur of everything that the discriminator sees, which fades: StyleGAN3-R's start (Karras et al. 2021, appendix)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kaogan.networks.stylegan.resampling import filter_same


def blur(images: Tensor, sigma: float) -> Tensor:
    """images (N, C, H, W) under the separable taps 2^-(i/σ)², |i| <= 3 σ px; as they are when those are only one."""
    reach = math.floor(3 * sigma)
    if reach < 1:
        return images
    taps = (-(torch.arange(-reach, reach + 1, device=images.device) / sigma).square()).exp2()
    with torch.autocast(images.device.type, enabled=False):
        images = images.float() if images.dtype in (torch.bfloat16, torch.float16) else images
        return filter_same(images, (taps / taps.sum()).to(images.dtype))
