"""Points of a model: what a picture is made from. Drawn by seed and number, changed by attributes, rendered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from kaogan.core.errors import UsageError
from kaogan.core.images import Pictures
from kaogan.generate.model import Asked, Model, check_truncation
from kaogan.networks import list_networks
from kaogan.networks.base import is_style_generator
from kaogan.networks.stylegan import StyleGenerator

MOST = 20_000  # points of one call: a quarter of an hour of film


@dataclass(frozen=True, eq=False)
class Point:
    """What one picture is made from, float32 on the CPU, before any truncation.

    ``z`` (Z,) is the latent, ``code`` (A,) the attributes of a conditional model. ``w`` (L, W) are the styles of a
    style network, one for each of its L layers; where it is given the picture is made from it, and ``z`` and ``code``
    only tell where it came from.
    """

    z: Tensor
    code: Tensor | None = None
    w: Tensor | None = None


def point(model: Model, seed: int = 0, number: int = 0, **attributes: Asked) -> Point:
    """The point of picture ``number`` of ``model.sample(seed=seed, **attributes)``. Raises UsageError."""
    return points(model, seed, 1, number, **attributes)[0]


def points(model: Model, seed: int = 0, count: int = 1, start: int = 0, **attributes: Asked) -> list[Point]:
    """The points of the pictures ``start``, start + 1, ... of ``model.sample(seed=seed)``. Raises UsageError."""
    check_count(count, "pictures")
    if start < 0:
        raise UsageError(f"pictures are counted from 0, there is none with the number {start}")
    z = model.latents(count, seed, start=start)
    codes = model.codes(count, seed, start, **attributes)  # hears of attributes that a model does not have
    return [Point(z[i], codes[i] if model.attributes else None) for i in range(count)]


def check_count(count: int, what: str, least: int = 1, most: int = MOST) -> None:
    """Raises UsageError."""
    if count < least:
        raise UsageError(f"the number of {what} must be {least} or more, not {count}")
    if count > most:
        raise UsageError(f"the number of {what} must be at most {most:,}, not {count:,}")


def render(model: Model, points: Sequence[Point], truncation: float = 1.0) -> Pictures:
    """The pictures of ``points``, uint8 (N, H, W, C); those of ``point(model, seed, i)`` are ``model.sample``'s.

    ``truncation``, >= 0, scales z, or draws the styles of a style network to their average. Raises UsageError.
    """
    pictures = np.empty((len(points), model.image_size, model.image_size, model.channels), np.uint8)
    done = 0
    for some in iter_render(model, points, truncation):
        pictures[done : done + len(some)] = some
        done += len(some)
    return pictures


def iter_render(model: Model, points: Sequence[Point], truncation: float = 1.0) -> Iterator[Pictures]:
    """The pictures of ``render`` as they are made, at most ``model.chunk`` at a time: for long films."""
    check_truncation(truncation)

    def chunks() -> Iterator[Pictures]:
        for start in range(0, len(points), model.chunk):
            yield _render(model, points[start : start + model.chunk], truncation)

    return chunks()


def _render(model: Model, points: Sequence[Point], truncation: float) -> Pictures:
    if any(each.w is not None for each in points):
        generator = _style_generator(model)
        w = torch.stack([each.w for each in styled(model, points) if each.w is not None])
        if truncation != 1:
            w = generator.mapping.w_avg.cpu().lerp(w, truncation)
        return model.in_chunks(generator.synthesis, w)
    z = torch.stack([each.z for each in points])
    codes = torch.stack([each.code for each in points if each.code is not None]) if model.attributes else None
    return model.generate(z if model.styled else z * truncation, codes, truncation)


def styled(model: Model, points: Sequence[Point]) -> list[Point]:
    """The same points with their ``w``. Raises UsageError for a model that is no style network."""
    generator = _style_generator(model)
    bare = [each for each in points if each.w is None]
    made: list[Tensor] = []
    for start in range(0, len(bare), model.chunk):
        here = bare[start : start + model.chunk]
        z = torch.stack([each.z for each in here])
        codes = [torch.stack([each.code for each in here if each.code is not None])] if model.attributes else []
        made += model.run(generator.styles, z, *codes).cpu().unbind()
    new = iter(made)
    return [each if each.w is not None else replace(each, w=next(new)) for each in points]


def with_attributes(model: Model, point: Point, **attributes: Asked) -> Point:
    """The same point with other attributes, those not named as they were. Raises UsageError.

    Where ``w`` is given, what the change of the code does to the styles is added to it.
    """
    asked = {name: value for name, value in attributes.items() if value is not None}
    new = model.codes(1, 0, 0, **attributes)[0]
    if not asked or point.code is None:
        return point
    code = point.code.clone()
    for name, part in zip(model.attributes.names, model.attributes.slices, strict=True):
        if name in asked:
            code[part] = new[part]
    return with_code(model, point, code)


def with_code(model: Model, point: Point, code: Tensor) -> Point:
    """The same point with the code (A,); see ``with_attributes``."""
    if point.w is None:
        return replace(point, code=code)
    before, after = styled(model, [replace(point, w=None), Point(point.z, code)])
    assert before.w is not None and after.w is not None
    return replace(point, code=code, w=point.w + (after.w - before.w))


def _style_generator(model: Model) -> StyleGenerator:
    if not is_style_generator(model.generator):
        family = model.config["generator"].get("family", "this")
        having = [info.name for info in list_networks() if info.has_style_space]
        raise UsageError(f"this model has no styles w: its networks are '{family}'; only {' and '.join(having)} have")
    return model.generator
