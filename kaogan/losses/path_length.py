"""Path length regularisation of style networks (Karras et al. 2020, section 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def path_lengths(images: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
    """How far a picture moves with its styles, (N,): the norm of the Jacobian's product with random pictures.

    ``images`` (N, C, H, W) of ``styles`` (N, num_ws, w_dim), ``noise`` ~ N(0, 1) of the pictures' shape. The squares
    are summed over w_dim and averaged over num_ws. Karras et al. 2020, section 3.2.
    """
    directed = (images * noise).sum() / math.sqrt(images.shape[2] * images.shape[3])
    (slope,) = torch.autograd.grad(directed, styles, create_graph=True)
    return slope.float().square().sum(2).mean(1).sqrt()


def path_length_penalty(lengths: Tensor, mean: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Path lengths (N,) and their mean so far -> the mean squared deviation from the new mean, and that mean.

    The mean moves by ``decay`` towards this batch's; the penalty is differentiable through it.
    """
    mean = mean.lerp(lengths.mean(), decay)
    return (lengths - mean).square().mean(), mean.detach()
