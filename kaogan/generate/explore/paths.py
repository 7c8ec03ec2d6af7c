"""Paths between latent points: linear and spherical interpolation, and walks through many faces."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from kaogan.core.deprecation import renamed_keyword
from kaogan.core.errors import UsageError, nearest
from kaogan.generate.attribute_requests import AttributeRequest, AttributeRequests, merge_requests
from kaogan.generate.explore.latent_point import (
    MAX_POINTS,
    LatentPoint,
    check_count,
    latent_distribution,
    point,
    points,
    with_styles,
)
from kaogan.generate.model import Model

Interpolation = Literal["linear", "slerp"]
INTERPOLATIONS: tuple[Interpolation, ...] = ("linear", "slerp")


def lerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """a at t = 0 and b at t = 1, exactly."""
    return a if t == 0 else b if t == 1 else a + (b - a) * t


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Along the great circle from a to b, at constant angular speed; lengths change linearly. Shoemake 1985.

    a at t = 0 and b at t = 1, exactly. Vectors of normal latents lie near a sphere, which the straight line leaves:
    its middle is shorter by a factor of about 0.7, and its faces are duller. Between opposite vectors the great circle
    is not unique: a fixed one is chosen.
    """
    if t == 0 or t == 1:
        return a if t == 0 else b
    x, y = a.double(), b.double()
    lengths = float(x.norm()), float(y.norm())
    if not all(lengths):
        return lerp(a, b, t)
    x, y = x / lengths[0], y / lengths[1]
    # The part of b orthogonal to a: for small angles more accurate than the inner product.
    orthogonal = y - x * (x @ y)
    angle = math.atan2(float(orthogonal.norm()), float(x @ y))
    if math.pi - angle < 1e-6:
        orthogonal = torch.zeros_like(x)
        orthogonal[int(x.abs().argmin())] = 1
        orthogonal = orthogonal - x * (x @ orthogonal)
    elif angle < 1e-6:
        return lerp(a, b, t)
    direction = x * math.cos(t * angle) + orthogonal / orthogonal.norm() * math.sin(t * angle)
    return (direction * (lengths[0] + (lengths[1] - lengths[0]) * t)).to(a.dtype)


@renamed_keyword("law", "interpolation")
def between(a: LatentPoint, b: LatentPoint, t: float, interpolation: str = "slerp") -> LatentPoint:
    """The point at ``t`` of the way from a to b: a itself at 0, b itself at 1; outside [0, 1] it extrapolates.

    ``interpolation`` ("slerp" or "linear") applies to z; conditions and styles are always interpolated linearly. Raises
    UsageError for an unknown interpolation, and if only one of the points has its ``w``.
    """
    if interpolation not in INTERPOLATIONS:
        raise UsageError(f"unknown interpolation '{interpolation}'{nearest(interpolation, INTERPOLATIONS)}")
    if (a.w is None) != (b.w is None):
        raise UsageError(
            "one point has styles w and the other has none; give both styles with kaogan.generate.explore.with_styles"
        )
    if t == 0 or t == 1:
        return a if t == 0 else b
    z = (slerp if interpolation == "slerp" else lerp)(a.z, b.z, t)
    condition = None
    if a.condition is not None and b.condition is not None:
        condition = lerp(a.condition, b.condition, t)
    w = lerp(a.w, b.w, t) if a.w is not None and b.w is not None else None
    return LatentPoint(z, condition, w)


@renamed_keyword("law", "interpolation")
def interpolate(a: LatentPoint, b: LatentPoint, steps: int, interpolation: str = "slerp") -> list[LatentPoint]:
    """``steps`` >= 2 points from a to b, both included. Raises UsageError."""
    check_count(steps, "steps", 2)
    return [between(a, b, step / (steps - 1), interpolation) for step in range(steps)]


@renamed_keyword("law", "interpolation")
def walk(
    model: Model, seed: int = 0, faces: int = 8, steps: int = 24, loop: bool = False, interpolation: str | None = None,
    space: str = "z", start: int = 0, attributes: AttributeRequests | None = None, **named: AttributeRequest,
) -> list[LatentPoint]:  # fmt: skip
    """A path through the faces ``start``, start + 1, ... of ``seed``, with ``steps`` frames from each to the next.

    With ``loop`` the path returns to the first face: faces · steps points, without a visible seam when the film
    repeats. Otherwise it has (faces - 1) · steps + 1 points and ends in the last face. ``interpolation`` defaults to
    what suits the latent distribution; ``space`` "w" interpolates the styles of a StyleGAN model linearly.
    Raises UsageError.
    """
    check_walk(faces, steps)
    stops = in_space(model, points(model, seed, faces, start, attributes, **named), space)
    return through(
        [*stops, stops[0]] if loop else stops, steps, interpolation or default_interpolation(model), closed=loop
    )


def walks(
    model: Model, seed: int = 0, faces: int = 8, steps: int = 24, loop: bool = False, tiles: int = 1,
    interpolation: str | None = None, space: str = "z", attributes: AttributeRequests | None = None,
    **named: AttributeRequest,
) -> list[list[LatentPoint]]:  # fmt: skip
    """``tiles`` walks to be shown side by side, each through its own faces of the seed. Raises UsageError."""
    check_walk(faces, steps)
    requests = merge_requests(attributes, named)
    check_count(tiles, "tiles", maximum=1024)
    check_count(tiles * faces * steps, "faces of all frames", maximum=10 * MAX_POINTS)
    return [
        walk(model, seed, faces, steps, loop, interpolation, space, tile * faces, requests) for tile in range(tiles)
    ]


def check_walk(faces: int, steps: int) -> None:
    check_count(faces, "faces", 2)
    check_count(steps, "steps")
    check_count(faces * steps, "frames", 2, MAX_POINTS)


def pairs(
    model: Model,
    seed: int = 0,
    first: int = 0,
    last: int = 1,
    steps: int = 8,
    rows: int = 1,
    interpolation: str | None = None,
    space: str = "z",
    attributes: AttributeRequests | None = None,
    **named: AttributeRequest,
) -> list[list[LatentPoint]]:
    """Interpolations from image ``first`` of the seed to image ``last``, and ``rows`` - 1 more between later images.

    No image belongs to two rows. An attribute given as a list of two applies to the first and the last face.
    Raises UsageError.
    """
    check_count(rows, "rows", maximum=1024)
    check_count(steps, "steps", 2)
    check_count(rows * steps, "faces", maximum=10 * MAX_POINTS)
    requests = merge_requests(attributes, named)
    tracks = []
    for row in range(rows):
        numbers = [number + row * (abs(last - first) + 1) for number in (first, last)]
        ends = [
            point(model, seed, number, {name: _part(name, value, end) for name, value in requests.items()})
            for end, number in enumerate(numbers)
        ]
        one, other = in_space(model, ends, space)
        tracks.append(interpolate(one, other, steps, interpolation or default_interpolation(model)))
    return tracks


def _part(name: str, value: AttributeRequest, end: int) -> AttributeRequest:
    """The value for the first (0) or the last (1) face."""
    if not isinstance(value, list):
        return value
    if len(value) != 2:
        raise UsageError(f"{len(value)} values of '{name}': give one, or two (for the first and the last face)")
    return str(value[end])


@renamed_keyword("law", "interpolation")
def through(
    stops: list[LatentPoint], steps: int, interpolation: str = "slerp", closed: bool = False
) -> list[LatentPoint]:
    """A path from stop to stop with ``steps`` frames each; ``closed`` leaves out the last stop (equal to the first)."""
    frames = [between(a, b, step / steps, interpolation) for a, b in pairwise(stops) for step in range(steps)]
    return frames if closed else [*frames, stops[-1]]


def default_interpolation(model: Model) -> Interpolation:
    """Slerp for normal latents, which lie near a sphere; linear for uniform ones, since a cube is convex."""
    return "linear" if latent_distribution(model) == "uniform" else "slerp"


def in_space(model: Model, points: list[LatentPoint], space: str) -> list[LatentPoint]:
    """The points with their styles for space "w", unchanged for "z". Raises UsageError."""
    if space not in ("z", "w"):
        raise UsageError(f"unknown space '{space}' (choose from z, w)")
    return with_styles(model, points) if space == "w" else points
