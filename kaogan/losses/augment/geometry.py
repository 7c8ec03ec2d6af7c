"""Flips, turns, shifts, scales and rotations: one affine map a picture, applied without aliasing.

Maps are inverse, (N, 3, 3): from output to input points, in pixels, the origin at the picture's centre, x to the right.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.core.device import to_device
from kaogan.losses.augment.random_params import Draw
from kaogan.networks.stylegan.resampling import upfirdn, upsample

# The symlet of order 6: an orthogonal wavelet, so that raising the rate and lowering it again changes nothing.
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
REACH = len(SYM6) // 4
QUARTERS = 4


def draw(
    count: int, size: tuple[int, int], p: float, random: torch.Generator, *, blit: bool = True, warp: bool = True
) -> Tensor:
    """The inverse maps (N, 3, 3) of transformations drawn with probability p each; ``size`` is (H, W)."""
    chance, (height, width) = Draw(count, random), size
    inverse = torch.eye(3).repeat(count, 1, 1)
    if blit:
        inverse = inverse @ scaling(1 - 2 * chance.where(p, chance.integer(2), 0), torch.ones(count))
        inverse = inverse @ rotation(-math.pi / 2 * chance.where(p, chance.integer(4), 0))
        x, y = chance.uniform(-0.125, 0.125), chance.uniform(-0.125, 0.125)
        moved = chance.fires(p)
        inverse = inverse @ shift(-(x * width).round() * moved, -(y * height).round() * moved)
    if warp:
        # Two rotations, so that one or the other happens with probability p.
        either = 1 - math.sqrt(1 - p)
        scale = 2 ** -chance.where(p, chance.normal(0.2), 0)
        inverse = inverse @ scaling(scale, scale)
        inverse = inverse @ rotation(-chance.where(either, chance.uniform(-math.pi, math.pi), 0))
        stretch = 2 ** -chance.where(p, chance.normal(0.2), 0)
        inverse = inverse @ scaling(stretch, 1 / stretch)
        inverse = inverse @ rotation(-chance.where(either, chance.uniform(-math.pi, math.pi), 0))
        x, y = chance.normal(0.125 * width), chance.normal(0.125 * height)
        moved = chance.fires(p)
        inverse = inverse @ shift(-x * moved, -y * moved)
    return inverse


def apply(images: Tensor, inverse: Tensor) -> Tensor:
    """images (N, C, H, W) under the maps (N, 3, 3); what comes from beyond the borders is their reflection.

    Pictures whose map is the identity are returned as they are.
    """
    changed = (inverse != torch.eye(3)).flatten(1).any(1)
    if not changed.any():
        return images
    if _few_shapes(images):
        where = to_device(changed, images.device)[:, None, None, None]
        return torch.where(where, _warp(images, inverse, QUARTERS).to(images.dtype), images)
    where = to_device(changed.nonzero().squeeze(1), images.device)
    moved = _warp(images[where], inverse[changed])
    return images.index_copy(0, where, moved.to(images.dtype))


def _few_shapes(images: Tensor) -> bool:
    """Whether the whole batch is moved, with margins of few sizes: a device chooses its algorithms, and finds its
    memory, anew for each shape."""
    return images.device.type != "cpu"


def _warp(images: Tensor, inverse: Tensor, steps: int = 0) -> Tensor:
    """With ``steps``, margins are the same on all sides: one of so many equal parts of the picture's side."""
    height, width = images.shape[2:]
    left, right, top, bottom = _margins(inverse, height, width)
    if steps:
        part = next(n for n in range(steps + 1) if max(left, right) * steps <= n * (width - 1)
                    and max(top, bottom) * steps <= n * (height - 1))  # fmt: skip
        left = right = -(-part * (width - 1) // steps)
        top = bottom = -(-part * (height - 1) // steps)
    images = F.pad(images, (left, right, top, bottom), "reflect")
    inverse = _one(shift, (left - right) / 2, (top - bottom) / 2) @ inverse

    # At twice the rate a pixel's centre lies half a pixel from where it was.
    taps = _taps(images.dtype, images.device)
    images = upsample(images, taps)
    inverse = _one(scaling, 2.0, 2.0) @ inverse @ _one(scaling, 0.5, 0.5)
    inverse = _one(shift, -0.5, -0.5) @ inverse @ _one(shift, 0.5, 0.5)

    high, wide = 2 * (height + 2 * REACH), 2 * (width + 2 * REACH)
    unit = _one(scaling, 2 / images.shape[3], 2 / images.shape[2]) @ inverse @ _one(scaling, wide / 2, high / 2)
    shape = [len(images), images.shape[1], high, wide]
    points = F.affine_grid(to_device(unit[:, :2], images.device, images.dtype), shape, align_corners=False)
    images = F.grid_sample(images, points, mode="bilinear", padding_mode="zeros", align_corners=False)
    edge = (len(SYM6) - 2) // 2 - 2 * REACH
    return upfirdn(images, taps, down=2, padding=(edge, edge, edge, edge), flip=True)


@cache
def _taps(dtype: torch.dtype, device: torch.device) -> Tensor:
    taps = torch.tensor(SYM6, dtype=dtype, device=device)
    return taps / taps.sum()


def _margins(inverse: Tensor, height: int, width: int) -> list[int]:
    """How far the maps reach beyond the left, right, top and bottom, with what the filters need."""
    x, y = (width - 1) / 2, (height - 1) / 2
    corners = torch.tensor([[-x, x, x, -x], [-y, -y, y, y], [1.0, 1.0, 1.0, 1.0]], dtype=inverse.dtype)
    across, down = (inverse @ corners)[:, :2].unbind(1)
    extents = torch.stack([-across.min() - x, across.max() - x, -down.min() - y, down.max() - y]) + 2 * REACH
    most = torch.tensor([width - 1, width - 1, height - 1, height - 1], dtype=extents.dtype)
    return [int(m) for m in extents.clamp(min=0).minimum(most).ceil()]


def rotation(angle: Tensor) -> Tensor:
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return _matrix(cos, -sin, zero, sin, cos, zero)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    zero = torch.zeros_like(x)
    return _matrix(x, zero, zero, zero, y, zero)


def shift(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix(one, zero, x, zero, one, y)


def _matrix(*entries: Tensor) -> Tensor:
    zero, one = torch.zeros_like(entries[0]), torch.ones_like(entries[0])
    return torch.stack([*entries, zero, zero, one], 1).view(-1, 3, 3)


def _one(kind: Callable[..., Tensor], *numbers: float) -> Tensor:
    """The same map for every picture, (1, 3, 3)."""
    return kind(*(torch.tensor([float(number)]) for number in numbers))
