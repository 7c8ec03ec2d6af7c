"""Penalties on the discriminator's slope and weights. Gradients are taken per picture, over all its values together:
the norm over the channels only, widely copied, drives the slope to sqrt(H W) instead of 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

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


def path_lengths(images: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
    """How far a picture moves with its styles, (N,): the norm of the Jacobian's product with random pictures.

    ``images`` (N, C, H, W) of ``styles`` (N, num_ws, w_dim), ``noise`` ~ N(0, 1) of the pictures' shape. The squares
    are summed over w_dim and averaged over num_ws. Karras et al. 2020, section 3.2.
    """
    directed = (images * noise).sum() / math.sqrt(images.shape[2] * images.shape[3])
    (slope,) = torch.autograd.grad(directed, styles, create_graph=True)
    return slope.float().square().sum(2).mean(1).sqrt()


def path_length(lengths: Tensor, mean: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Path lengths (N,) and their mean so far -> the mean squared deviation from the new mean, and that mean.

    The mean moves by ``decay`` towards this batch's; the penalty is differentiable through it.
    """
    mean = mean.lerp(lengths.mean(), decay)
    return (lengths - mean).square().mean(), mean.detach()


def clip_weights(parameters: Iterable[Tensor], limit: float) -> None:
    """Clamp every weight to +-limit, in place (Arjovsky et al. 2017)."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.clamp_(-limit, limit)


def _gradients(scores: Scores, images: Tensor) -> Tensor:
    """d score / d picture, flattened to (N, C H W), in float32, itself differentiable."""
    images = images.requires_grad_(True)
    with inputs_only():
        (slope,) = torch.autograd.grad(scores(images).sum(), images, create_graph=True)
    return slope.float().flatten(1)
