"""The ADA pipeline (Karras et al. 2020b, appendix B): groups of transformations and their order.

The probability p and its adaptation are in ``kaogan/losses/extras/augment.py``.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

import torch
from torch import Tensor

from kaogan.losses.augment import color, filtering, geometry, noise_cutout

Group = Literal["blit", "geometry", "color", "filter", "noise", "cutout"]
GROUPS: tuple[str, ...] = get_args(Group)


class Ada:
    """images (N, C, H, W) -> the same, each transformation of the chosen groups with probability p on each picture."""

    def __init__(self, groups: Collection[str] = ("blit", "geometry", "color")):
        self.groups = frozenset(groups)

    def __call__(self, images: Tensor, p: float, random: torch.Generator) -> Tensor:
        count, channels, height, width = images.shape
        p = min(p, 1.0)
        if p <= 0:
            return images
        with torch.autocast(images.device.type, enabled=False):
            images = images.float() if images.dtype in (torch.bfloat16, torch.float16) else images
            if self.groups & {"blit", "geometry"}:
                inverse = geometry.draw(
                    count, (height, width), p, random, blit="blit" in self.groups, warp="geometry" in self.groups
                )
                images = geometry.apply(images, inverse)
            if "color" in self.groups:
                images = color.apply(images, color.draw(count, p, random, colourful=channels == 3))
            if "filter" in self.groups:
                images = filtering.apply(images, filtering.draw(count, p, random))
            if "noise" in self.groups:
                images = noise_cutout.noise(images, p, random)
            if "cutout" in self.groups:
                images = noise_cutout.cutout(images, p, random)
        return images
