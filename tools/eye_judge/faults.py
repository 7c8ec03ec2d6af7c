"""Faults of one eye, put into whole faces, and what moves and recolours a face without harm to its eyes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

VISIBLE = 0.06  # mean change of the spoilt place, in [-1, 1], from which on a fault can be seen
ANOTHERS, ZOOMED, MOVED, WARPED, SOFT, RECOLOURED, FADED, SHADED = range(8)  # kinds of faults


def spoil(faces: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
    """Faces (N, 3, S, S) in [-1, 1], each with a fault of a random kind where one eye may be; bool (N,) where it can be
    seen."""
    count, side = len(faces), faces.shape[-1]
    of_side = _sign(count, rng)
    x, y = of_side * _uniform(count, 0.28, 0.5, rng), _uniform(count, 0.0, 0.4, rng)
    width, height = _uniform(count, 0.2, 0.34, rng), _uniform(count, 0.18, 0.36, rng)
    kind = torch.randint(8, (count,), generator=rng)
    spoilt = _moved(torch.where(_each(kind == ANOTHERS), faces.roll(1, 0), faces), x, y, kind, rng)
    for this, change in (
        (SOFT, _coarse(faces, 2 if torch.rand((), generator=rng) < 0.5 else 4)),
        (RECOLOURED, _recoloured(faces, rng)),
        (FADED, _mixed(_coarse(faces, 8), faces, _uniform(count, 0.1, 0.5, rng))),
        (SHADED, faces + _each(_sign(count, rng) * _uniform(count, 0.2, 0.5, rng))),
    ):
        spoilt = torch.where(_each(kind == this), change, spoilt)
    at = (torch.arange(side) + 0.5) * 2 / side - 1
    away = _ellipse(at[None, None, :], x, width) + _ellipse(at[None, :, None], y, height)
    mask = ((1.15 - away.sqrt()) / 0.3).clamp(0, 1)[:, None]
    found = (faces + mask * (spoilt - faces)).clamp(-1, 1)
    change = (found - faces).abs().mean(1).sum((1, 2)) / mask.sum((1, 2, 3))
    return found, change > VISIBLE


def varied(faces: Tensor, rng: Generator) -> Tensor:
    """Faces moved, turned, mirrored and recoloured as wholes, some softer: their eyes match as before."""
    count = len(faces)
    scale, turn = _uniform(count, 0.9, 1.1, rng), _uniform(count, -0.1, 0.1, rng)
    move = torch.zeros(count, 2, 3)
    move[:, 0, 0], move[:, 0, 1] = scale * turn.cos() * _sign(count, rng), -scale * turn.sin()
    move[:, 1, 0], move[:, 1, 1] = scale * turn.sin(), scale * turn.cos()
    move[:, :, 2] = torch.stack([_uniform(count, -0.1, 0.1, rng) for _ in range(2)], 1)
    grid = F.affine_grid(move, list(faces.shape), align_corners=False)
    faces = F.grid_sample(faces, grid, padding_mode="border", align_corners=False)
    faces = faces * _each(_uniform(count, 0.8, 1.2, rng)) + _each(_uniform(count, -0.15, 0.15, rng))
    order = torch.stack([torch.randperm(3, generator=rng) for _ in range(count)])
    swapped = faces.gather(1, order[:, :, None, None].expand_as(faces))
    faces = torch.where(_each(torch.rand(count, generator=rng) < 0.3), swapped, faces)
    if torch.rand((), generator=rng) < 0.4:
        soft = F.avg_pool2d(F.pad(faces, (1, 1, 1, 1), mode="replicate"), 3, 1)
        faces = _mixed(faces, soft, torch.full((count,), 0.6))
    return faces.clamp(-1, 1)


def _moved(faces: Tensor, x: Tensor, y: Tensor, kind: Tensor, rng: Generator) -> Tensor:
    count, side = len(faces), faces.shape[-1]
    larger = torch.rand(count, generator=rng) < 0.5
    zoom = torch.where(larger, _uniform(count, 0.65, 0.85, rng), _uniform(count, 1.2, 1.5, rng))
    zoom = torch.where(kind == ZOOMED, zoom, 1.0)
    up = torch.where(kind == MOVED, _sign(count, rng) * _uniform(count, 0.08, 0.2, rng), 0.0)
    across = torch.where(kind == MOVED, _uniform(count, -0.12, 0.12, rng), 0.0)
    move = torch.zeros(count, 2, 3)
    move[:, 0, 0] = move[:, 1, 1] = zoom
    move[:, 0, 2], move[:, 1, 2] = x * (1 - zoom) + across, y * (1 - zoom) + up
    grid = F.affine_grid(move, list(faces.shape), align_corners=False)
    waves = F.interpolate(torch.randn(count, 2, 9, 9, generator=rng), (side, side), mode="bicubic").permute(0, 2, 3, 1)
    grid = grid + torch.where(_each(kind == WARPED), waves * 0.1, 0.0)
    return F.grid_sample(faces, grid, padding_mode="border", align_corners=False)


def _recoloured(faces: Tensor, rng: Generator) -> Tensor:
    orders = ([2, 0, 1], [1, 2, 0], [2, 1, 0], [0, 2, 1], [1, 0, 2])
    order = orders[int(torch.randint(len(orders), (), generator=rng))]
    grey = faces.mean(1, keepdim=True)
    vivid = (faces[:, order] - grey) * 1.4 + grey
    return _mixed(faces, vivid, _uniform(len(faces), 0.5, 1.1, rng))


def _coarse(faces: Tensor, factor: int) -> Tensor:
    small = F.interpolate(faces, scale_factor=1 / factor, mode="area")
    return F.interpolate(small, faces.shape[-2:], mode="bilinear")


def _mixed(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return one + _each(share) * (other - one)


def _ellipse(at: Tensor, centre: Tensor, radius: Tensor) -> Tensor:
    return ((at - centre[:, None, None]) / radius[:, None, None]).square()


def _uniform(count: int, low: float, high: float, rng: Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=rng)


def _sign(count: int, rng: Generator) -> Tensor:
    return torch.where(torch.rand(count, generator=rng) < 0.5, -1.0, 1.0)


def _each(values: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1)."""
    return values[:, None, None, None]
