"""Optimization variables of a latent search: z or w, and the condition of a conditional model as softmax logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from kaogan.core.device import exact
from kaogan.generate.explore.latent_point import LatentPoint, latent_distribution, stack_conditions, style_generator
from kaogan.generate.model import Model

MIN_SHARE = 0.02  # of a condition value: a smaller softmax share would have a vanishing gradient

P = ParamSpec("P")
Found = TypeVar("Found")


def exactly(search: Callable[Concatenate[Model, P], Found]) -> Callable[Concatenate[Model, P], Found]:
    """A search under ``exact``, also for its slopes, which do not come out of ``Model.run``."""

    @wraps(search)
    def searched(model: Model, *words: P.args, **named: P.kwargs) -> Found:
        with exact(model.device):
            return search(model, *words, **named)

    return searched


class LatentVariables:
    """Variables of N points at once. ``fixed`` excludes the conditions from the search."""

    def __init__(self, model: Model, points: Sequence[LatentPoint], fixed: bool = False) -> None:
        self.model = model
        self.fixed = fixed or not model.attributes
        device = model.device
        self.in_w = points[0].w is not None
        rows = [p.w if self.in_w else p.z for p in points]
        self.latents = torch.stack([row for row in rows if row is not None]).to(device).requires_grad_()
        self.z = torch.stack([p.z for p in points]).to(device)
        self.given = stack_conditions(model, points)
        self.logits: Tensor | None = None
        if not self.fixed and self.given is not None and not self.in_w:
            self.logits = self.given.clamp(min=MIN_SHARE).log().to(device).requires_grad_()

    @property
    def parameters(self) -> list[Tensor]:
        """The tensors to be optimized."""
        return [self.latents] if self.logits is None else [self.latents, self.logits]

    def conditions(self) -> Tensor | None:
        if self.logits is None:
            return None if self.given is None else self.given.to(self.model.device)
        return torch.cat([self.logits[:, part].softmax(1) for part in self.model.attributes.slices], 1)

    def images(self) -> Tensor:
        """Images of the current values (N, C, H, W), about [-1, 1], differentiable."""
        if self.in_w:
            return style_generator(self.model).synthesis(self.latents)
        generator = self.model.generator
        conditions = self.conditions()
        return generator(self.latents) if conditions is None else generator(self.latents, conditions)

    def points(self) -> list[LatentPoint]:
        """The current values as points."""
        conditions = self.conditions()
        result = []
        for index, row in enumerate(self.latents.detach().cpu().clone()):
            condition = None if conditions is None else conditions[index].detach().cpu().clone()
            z = self.z[index].cpu() if self.in_w else row
            result.append(LatentPoint(z, condition, row if self.in_w else None))
        return result

    def prior_penalty(self) -> Tensor:
        """Distance (N,) of the latents from the distribution they are sampled from; about 0 for typical ones."""
        if self.in_w:
            between_layers = self.latents - self.latents.mean(1, keepdim=True)
            from_mean = self.latents - style_generator(self.model).mapping.w_avg
            return between_layers.square().mean((1, 2)) + 0.1 * from_mean.square().mean((1, 2))
        if latent_distribution(self.model) == "uniform":
            return (self.latents.abs() - 1).clamp(min=0).square().sum(1)
        power = self.latents.square().mean(1)
        return (power - 1).square() + 0.1 * (self.latents.abs() - 3).clamp(min=0).square().sum(1)
