"""Latent points: what one image is generated from. Drawing by seed and number, changing attributes, rendering."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kaogan.core.errors import UsageError
from kaogan.core.images import Pictures
from kaogan.generate.attribute_requests import AttributeRequest, AttributeRequests, merge_requests
from kaogan.generate.model import Model, check_truncation
from kaogan.networks import list_networks
from kaogan.networks.stylegan import is_style_generator

if TYPE_CHECKING:
    from kaogan.networks.stylegan import StyleGenerator

MAX_POINTS = 20_000  # of one call: a quarter of an hour of film


@dataclass(frozen=True, eq=False)
class LatentPoint:
    """What one image is generated from: float32 tensors on the CPU, before truncation.

    ``z`` (Z,) is the latent, ``condition`` (A,) the one-hot attributes of a conditional model. ``w`` (L, W) are the
    styles of a StyleGAN model, one for each of its L layers. If ``w`` is set, the image is generated from it; ``z`` and
    ``condition`` then only record where it came from.
    """

    z: Tensor
    condition: Tensor | None = None
    w: Tensor | None = None


def point(
    model: Model, seed: int = 0, number: int = 0, attributes: AttributeRequests | None = None, **named: AttributeRequest
) -> LatentPoint:
    """The point of image ``number`` of ``model.sample(seed=seed)`` with the same attributes. Raises UsageError."""
    return points(model, seed, 1, number, attributes, **named)[0]


def points(
    model: Model, seed: int = 0, count: int = 1, start: int = 0, attributes: AttributeRequests | None = None,
    **named: AttributeRequest,
) -> list[LatentPoint]:  # fmt: skip
    """The points of the images ``start``, start + 1, ... of ``model.sample(seed=seed)``.

    Attributes are keywords or a mapping, as in ``Model.sample``. Raises UsageError.
    """
    check_count(count, "pictures")
    if start < 0:
        raise UsageError(f"a picture number must be 0 or more, not {start}")
    z = model.latents(count, seed, start=start)
    # Also without attributes: it raises for those that the model does not have.
    conditions = model.conditions(count, seed, start, attributes, **named)
    return [LatentPoint(z[i], conditions[i] if model.attributes else None) for i in range(count)]


def check_count(count: int, what: str, minimum: int = 1, maximum: int = MAX_POINTS) -> None:
    """Raise UsageError if ``count`` is out of range; ``what`` names the things that are counted."""
    if count < minimum:
        raise UsageError(f"the number of {what} must be {minimum} or more, not {count}")
    if count > maximum:
        raise UsageError(f"the number of {what} must be at most {maximum:,}, not {count:,}")


def render(model: Model, points: Sequence[LatentPoint], truncation: float = 1.0) -> Pictures:
    """The images of ``points``, uint8 (N, H, W, C), equal to those of ``model.sample`` for points of a seed.

    ``truncation`` >= 0 scales z, or moves the styles of a StyleGAN model towards their mean. Raises UsageError.
    """
    pictures = np.empty((len(points), model.image_size, model.image_size, model.channels), np.uint8)
    done = 0
    for some in iter_render(model, points, truncation):
        pictures[done : done + len(some)] = some
        done += len(some)
    return pictures


def iter_render(model: Model, points: Sequence[LatentPoint], truncation: float = 1.0) -> Iterator[Pictures]:
    """The images of ``render`` in batches of at most ``model.batch_size``, for long films. Raises UsageError."""
    check_truncation(truncation)

    def chunks() -> Iterator[Pictures]:
        for start in range(0, len(points), model.batch_size):
            yield _render(model, points[start : start + model.batch_size], truncation)

    return chunks()


def _render(model: Model, points: Sequence[LatentPoint], truncation: float) -> Pictures:
    if any(each.w is not None for each in points):
        generator = style_generator(model)
        w = torch.stack([each.w for each in with_styles(model, points) if each.w is not None])
        if truncation != 1:
            w = generator.mapping.w_avg.cpu().lerp(w, truncation)
        return model.in_batches(generator.synthesis, w)
    z = torch.stack([each.z for each in points])
    return model.generate(z if model.has_style_space else z * truncation, stack_conditions(model, points), truncation)


def stack_conditions(model: Model, points: Sequence[LatentPoint]) -> Tensor | None:
    """The conditions of the points (N, A); None for an unconditional model."""
    if not model.attributes:
        return None
    return torch.stack([each.condition for each in points if each.condition is not None])


def with_styles(model: Model, points: Sequence[LatentPoint]) -> list[LatentPoint]:
    """The same points with their ``w``. Raises UsageError for a model without styles."""
    generator = style_generator(model)
    missing = [each for each in points if each.w is None]
    styles: list[Tensor] = []
    for start in range(0, len(missing), model.batch_size):
        batch = missing[start : start + model.batch_size]
        z, conditions = torch.stack([each.z for each in batch]), stack_conditions(model, batch)
        given = () if conditions is None else (conditions,)
        styles += model.run(generator.styles, z, *given).cpu().unbind()
    new = iter(styles)
    return [each if each.w is not None else replace(each, w=next(new)) for each in points]


def with_attributes(
    model: Model, point: LatentPoint, attributes: AttributeRequests | None = None, **named: AttributeRequest
) -> LatentPoint:
    """The same point with the given attributes changed and the others kept. Raises UsageError.

    If ``w`` is set, the difference that the new condition makes to the styles is added to it.
    """
    requests = merge_requests(attributes, named)
    changed = {name: value for name, value in requests.items() if value is not None}
    new = model.conditions(1, 0, 0, requests)[0]
    if not changed or point.condition is None:
        return point
    condition = point.condition.clone()
    for name, part in zip(model.attributes.names, model.attributes.slices, strict=True):
        if name in changed:
            condition[part] = new[part]
    return with_condition(model, point, condition)


def with_condition(model: Model, point: LatentPoint, condition: Tensor) -> LatentPoint:
    """The same point with the condition (A,); for ``w`` see ``with_attributes``."""
    return _replaced(model, point, LatentPoint(point.z, condition))


def with_latent(model: Model, point: LatentPoint, z: Tensor) -> LatentPoint:
    """The same point with the latent (Z,). If ``w`` is set, the difference that ``z`` makes to the styles is added."""
    return _replaced(model, point, LatentPoint(z, point.condition))


def _replaced(model: Model, point: LatentPoint, new: LatentPoint) -> LatentPoint:
    """``new`` with what the ``w`` of ``point`` holds beyond its z and condition: an edit, or a search in w."""
    if point.w is None:
        return new
    # One by one: in a batch their places round differently, and a change of nothing would not be nothing.
    before, after = (with_styles(model, [each])[0] for each in (replace(point, w=None), new))
    assert before.w is not None and after.w is not None
    return replace(new, w=point.w + (after.w - before.w))


def style_generator(model: Model) -> StyleGenerator:
    """The generator of a model with a style space. Raises UsageError for other models."""
    if not is_style_generator(model.generator):
        family = model.config["generator"].get("family", "this")
        having = [info.name for info in list_networks() if info.has_style_space]
        raise UsageError(f"this model has no styles w: its generator is '{family}'; only {' and '.join(having)} have")
    return model.generator


def latent_distribution(model: Model) -> str:
    """ "normal" or "uniform"."""
    return str(model.config["latent"]["distribution"])
