"""Which penalties on the discriminator's slope are due at a step, and how strong they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from kaogan.config.recipe import Recipe
from kaogan.losses import gradient_penalty, zero_centred


class Point(NamedTuple):
    """Pictures (N, C, H, W) at which the slope is taken, and the labels (N, K) that they are judged with."""

    images: Tensor
    labels: Tensor


def slope_penalties(
    recipe: Recipe, clock: int, scores: Callable[[str, Tensor, Tensor], Tensor], real: Point, fake: Point,
    share: Callable[[], Tensor],
) -> dict[str, Tensor]:  # fmt: skip
    """The weighted terms that are due, by name. ``scores`` are those of pictures, for a purpose, under labels, through
    all views: it is the slope at the picture, not at what became of it, that is penalised. ``share`` draws how much of
    each point between ``real`` and ``fake`` is real, (N,)."""
    settings, step = recipe.penalties, clock // recipe.training.batch_size
    terms: dict[str, Tensor] = {}
    gp = settings.gradient_penalty
    if gp.weight and step % gp.every == 0:
        penalty = gradient_penalty(
            lambda images: scores("penalty", images, real.labels), real.images, fake.images, share(), gp.target
        )
        terms["penalty"] = gp.weight * gp.every * penalty
    strength = recipe.optim.annealing.at(clock, 1.0, recipe.optim.annealing.penalties)
    for name, zero, point in (("r1", settings.r1, real), ("r2", settings.r2, fake)):
        if zero.weight and step % zero.every == 0:
            penalty = zero_centred(lambda images, n=name, p=point: scores(n, images, p.labels), point.images)  # type: ignore[misc]
            terms[name] = zero.weight / 2 * zero.every * strength * penalty
    return terms
