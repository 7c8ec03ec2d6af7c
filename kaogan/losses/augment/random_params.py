"""Chance: which pictures a transformation takes, and its parameters for them."""

from __future__ import annotations

import torch
from torch import Tensor


class Draw:
    """Draws for ``count`` pictures, (N,) float32 each, always in the same order and number from the generator."""

    def __init__(self, count: int, random: torch.Generator):
        self.count, self.random = count, random

    def uniform(self, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(self.count, generator=self.random)

    def normal(self, deviation: float) -> Tensor:
        return deviation * torch.randn(self.count, generator=self.random)

    def integer(self, values: int) -> Tensor:
        return torch.randint(values, (self.count,), generator=self.random).float()

    def fires(self, p: float) -> Tensor:
        """(N,) of bool, each true with probability p."""
        return torch.rand(self.count, generator=self.random) < p

    def where(self, p: float, drawn: Tensor, otherwise: float) -> Tensor:
        """``drawn`` where it fires, else what changes nothing."""
        return torch.where(self.fires(p), drawn, otherwise)
