"""Pictures inside and outside: (N, C, H, W) floats in [-1, 1] inside, (N, H, W, C) uint8 outside."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Pictures = np.ndarray  # uint8 (N, H, W, C), C = 1 or 3


def to_float(pictures: Pictures | Tensor) -> Tensor:
    """uint8 (N, H, W, C) -> float32 (N, C, H, W) in [-1, 1], laid out channels last."""
    if isinstance(pictures, np.ndarray):
        pictures = torch.from_numpy(np.ascontiguousarray(pictures))
    return pictures.permute(0, 3, 1, 2).to(torch.float32).mul_(1 / 127.5).sub_(1)


def to_uint8(images: Tensor) -> Pictures:
    """float (N, C, H, W) in [-1, 1] -> uint8 (N, H, W, C), rounded, a fixed range for every picture."""
    scaled = images.detach().to("cpu", torch.float32).add(1).mul_(127.5).round_().clamp_(0, 255)
    count, channels, high, wide = scaled.shape
    return torch.empty((count, high, wide, channels), dtype=torch.uint8).copy_(scaled.permute(0, 2, 3, 1)).numpy()


def grid(pictures: Pictures, columns: int, gap: int = 2) -> np.ndarray:
    """Tile (N, H, W, C) into one uint8 picture (H', W', C), row by row, on white."""
    count, height, width, channels = pictures.shape
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for index, picture in enumerate(pictures):
        top = gap + (index // columns) * (height + gap)
        left = gap + (index % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet
