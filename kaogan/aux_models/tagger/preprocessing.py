"""The tagger's preprocessing, whose name is part of the fingerprint of everything computed with it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.aux_models.tagger.network import IMAGE_SIZE
from kaogan.core.errors import UsageError
from kaogan.core.images import Pictures

NAME = "centre square, 64 px, torch bicubic antialiased, rounded to uint8, [-1, 1]"
_CHUNK = 128  # pictures resized at a time


def shrink(pictures: Pictures) -> Pictures:
    """uint8 (N, H, W, 3) of any size -> uint8 (N, 64, 64, 3): the centre square, resized with antialiasing, rounded.

    Pictures of 64 x 64 pass unchanged. Raises UsageError for another kind of array.
    """
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or 0 in pictures.shape[1:]:
        raise UsageError(f"the tagger takes pictures uint8 (N, H, W, 3), not {pictures.dtype} {tuple(pictures.shape)}")
    height, width = pictures.shape[1:3]
    if height == width == IMAGE_SIZE:
        return pictures
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pictures[:, top : top + side, left : left + side]
    result = np.empty((len(pictures), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    for start in range(0, len(pictures), _CHUNK):
        # Planes of floats: torch's resize of uint8 clips between its two passes, which dulls sharp edges.
        planes = torch.tensor(square[start : start + _CHUNK].transpose(0, 3, 1, 2), dtype=torch.float32)
        small = F.interpolate(planes, (IMAGE_SIZE, IMAGE_SIZE), mode="bicubic", antialias=True)
        result[start : start + _CHUNK] = small.round_().clamp_(0, 255).permute(0, 2, 3, 1).numpy()
    return result


def to_images(pictures: Pictures) -> Tensor:
    """uint8 (N, 64, 64, 3) -> float32 (N, 3, 64, 64) in [-1, 1], channels last."""
    images = torch.tensor(pictures).permute(0, 3, 1, 2)
    return images.float().mul_(1 / 127.5).sub_(1)
