"""Gradient penalties (WGAN-GP, R1, R2) and weight clipping of the discriminator.

Gradients are taken per picture, over all its values together: the norm over the channels only, widely copied, drives
the slope to sqrt(H W) instead of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from kaogan.config.recipe import Recipe
from kaogan.networks.cpu.grad_modes import inputs_only

Scores = Callable[[Tensor], Tensor]  # images (N, C, H, W) -> scores (N,)


def gradient_penalty(scores: Scores, real: Tensor, fake: Tensor, share: Tensor, target: float = 1.0) -> Tensor:
    """Mean of (norm of the gradient - target)^2 at points between reals and fakes (Gulrajani et al. 2017, eq. 3).

    ``share`` (N,) in [0, 1] is how much of each point is real: one number per picture. Returns a scalar.
    """
    share = share.view(-1, 1, 1, 1)
    slope = _gradients(scores, share * real.detach() + (1 - share) * fake.detach())
    return (slope.norm(dim=1) - target).square().mean()


def zero_centred(scores: Scores, images: Tensor) -> Tensor:
    """Mean squared norm of the gradient at ``images``: R1 at reals, R2 at fakes (Mescheder et al. 2018, eq. 9)."""
    return _gradients(scores, images.detach()).square().sum(1).mean()


class LabelledImages(NamedTuple):
    """Images (N, C, H, W), the labels (N, K) that the discriminator scores them with, and those that it learns to tell,
    (N, K), -1 for unknown, where they are others."""

    images: Tensor
    labels: Tensor
    told: Tensor | None = None


def due_gradient_penalties(
    recipe: Recipe, due: Collection[str], images_seen: int, scores: Callable[[str, Tensor, Tensor], Tensor],
    real: LabelledImages, fake: LabelledImages, share: Callable[[], Tensor],
) -> dict[str, Tensor]:  # fmt: skip
    """The weighted gradient penalties among ``due``, by name: ``gradient_penalty``, ``r1``, ``r2``.

    ``scores`` are those of images for a purpose, under labels, through augmentation: it is the gradient at the image,
    not at what became of it, that is penalised. ``share`` draws how much of each point between ``real`` and ``fake`` is
    real, (N,).
    """
    settings = recipe.penalties
    terms: dict[str, Tensor] = {}
    if "gradient_penalty" in due:
        gp = settings.gradient_penalty
        penalty = gradient_penalty(
            lambda images: scores("penalty", images, real.labels), real.images, fake.images, share(), gp.target
        )
        terms["gradient_penalty"] = gp.weight * gp.every * penalty
    strength = recipe.optim.annealing.at(images_seen, 1.0, recipe.optim.annealing.penalties)
    for name, zero, point in (("r1", settings.r1, real), ("r2", settings.r2, fake)):
        if name in due:
            penalty = zero_centred(lambda images, n=name, p=point: scores(n, images, p.labels), point.images)  # type: ignore[misc]
            terms[name] = zero.weight / 2 * zero.every * strength * penalty
    return terms


def clip_weights(parameters: Iterable[Tensor], limit: float) -> None:
    """Clamp every weight to +-limit, in place (Arjovsky et al. 2017)."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.clamp_(-limit, limit)


def _gradients(scores: Scores, images: Tensor) -> Tensor:
    """d score / d picture, flattened to (N, C H W), in float32, itself differentiable."""
    images = images.requires_grad_(True)
    with inputs_only():
        scored = scores(images)
        (slope,) = torch.autograd.grad(scored, images, torch.ones_like(scored), create_graph=True)
    return slope.float().flatten(1)
