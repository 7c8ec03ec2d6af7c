"""The numbers that a search moves: z, w, and the code of a conditional model as softmaxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kaogan.generate.explore.latent_point import Point
from kaogan.generate.model import Model
from kaogan.networks.base import is_style_generator

FLOOR = 0.02  # share of a code's value below which it could hardly come back


class Variables:
    """N candidates at once. ``fixed`` keeps the codes as they are."""

    def __init__(self, model: Model, points: Sequence[Point], fixed: bool = False) -> None:
        self.model = model
        self.fixed = fixed or not model.attributes
        device = model.device
        self.styled = points[0].w is not None
        rows = [p.w if self.styled else p.z for p in points]
        self.latents = torch.stack([row for row in rows if row is not None]).to(device).requires_grad_()
        self.z = torch.stack([p.z for p in points]).to(device)
        self.given = torch.stack([p.code for p in points if p.code is not None]) if model.attributes else None
        self.logits: Tensor | None = None
        if not self.fixed and self.given is not None and not self.styled:
            self.logits = self.given.clamp(min=FLOOR).log().to(device).requires_grad_()

    @property
    def free(self) -> list[Tensor]:
        return [self.latents] if self.logits is None else [self.latents, self.logits]

    def codes(self) -> Tensor | None:
        if self.logits is None:
            return None if self.given is None else self.given.to(self.model.device)
        return torch.cat([self.logits[:, part].softmax(1) for part in self.model.attributes.slices], 1)

    def images(self) -> Tensor:
        generator = self.model.generator
        if self.styled:
            assert is_style_generator(generator)
            return generator.synthesis(self.latents)
        codes = self.codes()
        return generator(self.latents) if codes is None else generator(self.latents, codes)

    def points(self) -> list[Point]:
        codes = self.codes()
        result = []
        for index, row in enumerate(self.latents.detach().cpu().clone()):
            code = None if codes is None else codes[index].detach().cpu().clone()
            z = self.z[index].cpu() if self.styled else row
            result.append(Point(z, code, row if self.styled else None))
        return result

    def unusual(self) -> Tensor:
        """How far the latents are from those that the model draws, (N,): 0 for usual ones."""
        if self.styled:
            assert is_style_generator(self.model.generator)
            apart = self.latents - self.latents.mean(1, keepdim=True)  # styles that differ from layer to layer
            return apart.square().mean((1, 2)) + 0.1 * (
                self.latents - self.model.generator.mapping.w_avg
            ).square().mean((1, 2))
        if self.model.config["latent"]["distribution"] == "uniform":
            return (self.latents.abs() - 1).clamp(min=0).square().sum(1)
        power = self.latents.square().mean(1)
        return (power - 1).square() + 0.1 * (self.latents.abs() - 3).clamp(min=0).square().sum(1)
