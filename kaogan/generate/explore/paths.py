"""Ways from one point to another: straight lines, great circles, and walks past many faces."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from kaogan.core.errors import UsageError, nearest
from kaogan.generate.explore.latent_point import MOST, Point, check_count, point, points, styled
from kaogan.generate.model import Asked, Model

Law = Literal["linear", "slerp"]
LAWS: tuple[Law, ...] = ("linear", "slerp")


def lerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """a at t = 0 and b at t = 1, exactly."""
    return a if t == 0 else b if t == 1 else a + (b - a) * t


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Along the great circle from a to b, at constant angular speed; lengths change linearly. Shoemake 1985.

    a at t = 0 and b at t = 1, exactly. Vectors of normal latents lie near a sphere, which the straight line leaves:
    its middle is shorter by a factor of about 0.7, and its faces are duller. Opposite vectors have no one circle: the
    way is over a third direction, always the same one.
    """
    if t == 0 or t == 1:
        return a if t == 0 else b
    x, y = a.double(), b.double()
    lengths = float(x.norm()), float(y.norm())
    if not all(lengths):
        return lerp(a, b, t)
    x, y = x / lengths[0], y / lengths[1]
    # The part of b at right angles to a; for small angles more exact than their inner product.
    aside = y - x * (x @ y)
    angle = math.atan2(float(aside.norm()), float(x @ y))
    if math.pi - angle < 1e-6:
        aside = torch.zeros_like(x)
        aside[int(x.abs().argmin())] = 1
        aside = aside - x * (x @ aside)
    elif angle < 1e-6:
        return lerp(a, b, t)
    direction = x * math.cos(t * angle) + aside / aside.norm() * math.sin(t * angle)
    return (direction * (lengths[0] + (lengths[1] - lengths[0]) * t)).to(a.dtype)


def between(a: Point, b: Point, t: float, law: str = "slerp") -> Point:
    """The point at ``t`` of the way from a to b: a itself at 0, b itself at 1. Codes and styles go straight.

    ``law`` is that of z. Beyond [0, 1] the way goes on. Raises UsageError when only one of the two has its ``w``.
    """
    if law not in LAWS:
        raise UsageError(f"unknown law '{law}'{nearest(law, LAWS)}")
    if (a.w is None) != (b.w is None):
        raise UsageError("one point has styles w and the other has none: see kaogan.generate.explore.styled")
    if t == 0 or t == 1:
        return a if t == 0 else b
    z = (slerp if law == "slerp" else lerp)(a.z, b.z, t)
    code = lerp(a.code, b.code, t) if a.code is not None and b.code is not None else None
    w = lerp(a.w, b.w, t) if a.w is not None and b.w is not None else None
    return Point(z, code, w)


def interpolate(a: Point, b: Point, steps: int, law: str = "slerp") -> list[Point]:
    """``steps`` >= 2 points from a to b, both included. Raises UsageError."""
    check_count(steps, "steps", 2)
    return [between(a, b, step / (steps - 1), law) for step in range(steps)]


def walk(
    model: Model, seed: int = 0, faces: int = 8, steps: int = 24, loop: bool = False, law: str | None = None,
    space: str = "z", start: int = 0, **attributes: Asked,
) -> list[Point]:  # fmt: skip
    """From face to face, ``steps`` frames each: through the pictures ``start``, start + 1, ... of ``seed``.

    With ``loop`` it returns: faces · steps points, and from the last to the first it is one step like any other, so a
    film that starts again shows no seam. Without, (faces - 1) · steps + 1 points, ending in the last face. ``law`` is
    by default what fits the latents; ``space`` "w" goes straight through the styles of a style network.
    Raises UsageError.
    """
    check_way(faces, steps)
    stops = in_space(model, points(model, seed, faces, start, **attributes), space)
    return through([*stops, stops[0]] if loop else stops, steps, law or law_of(model), closed=loop)


def walks(
    model: Model, seed: int = 0, faces: int = 8, steps: int = 24, loop: bool = False, tiles: int = 1,
    law: str | None = None, space: str = "z", **attributes: Asked,
) -> list[list[Point]]:  # fmt: skip
    """``tiles`` walks at once, each past its own faces of the seed. Raises UsageError."""
    check_way(faces, steps)
    check_count(tiles, "tiles", most=1024)
    check_count(tiles * faces * steps, "faces of all frames", most=10 * MOST)
    return [walk(model, seed, faces, steps, loop, law, space, tile * faces, **attributes) for tile in range(tiles)]


def check_way(faces: int, steps: int) -> None:
    check_count(faces, "faces", 2)
    check_count(steps, "steps")
    check_count(faces * steps, "frames", 2, MOST)


def pairs(
    model: Model, seed: int = 0, first: int = 0, last: int = 1, steps: int = 8, rows: int = 1, law: str | None = None,
    space: str = "z", **attributes: Asked,
) -> list[list[Point]]:  # fmt: skip
    """Ways from picture ``first`` of the seed to picture ``last``, and ``rows`` - 1 more: each pair as far along as
    from one of the two to the other, so that none has a face of another. A list of an attribute has one for each end.
    Raises UsageError.
    """
    check_count(rows, "rows", most=1024)
    check_count(steps, "steps", 2)
    check_count(rows * steps, "faces", most=10 * MOST)
    ways = []
    for row in range(rows):
        numbers = [number + row * (abs(last - first) + 1) for number in (first, last)]
        ends = [
            point(model, seed, number, **{name: _part(name, value, end) for name, value in attributes.items()})
            for end, number in enumerate(numbers)
        ]
        one, other = in_space(model, ends, space)
        ways.append(interpolate(one, other, steps, law or law_of(model)))
    return ways


def _part(name: str, value: Asked, end: int) -> Asked:
    """What is asked of the first or the last face."""
    if not isinstance(value, list):
        return value
    if len(value) != 2:
        raise UsageError(f"{len(value)} values of '{name}': name one, or two, for the first face and for the last")
    return str(value[end])


def through(stops: list[Point], steps: int, law: str = "slerp", closed: bool = False) -> list[Point]:
    """From stop to stop, ``steps`` frames each, and the last stop, but for ``closed``: there it is the first again."""
    frames = [between(a, b, step / steps, law) for a, b in pairwise(stops) for step in range(steps)]
    return frames if closed else [*frames, stops[-1]]


def law_of(model: Model) -> Law:
    """Normal latents lie near a sphere; uniform ones fill a cube, which straight lines do not leave."""
    return "linear" if model.config["latent"]["distribution"] == "uniform" else "slerp"


def in_space(model: Model, points: list[Point], space: str) -> list[Point]:
    """The points with styles for the space "w", as they are for "z". Raises UsageError."""
    if space not in ("z", "w"):
        raise UsageError(f"unknown space '{space}' (choose from z, w)")
    return styled(model, points) if space == "w" else points
