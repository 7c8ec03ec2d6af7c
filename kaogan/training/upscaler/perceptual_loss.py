"""Perceptual distance of two pictures in the features of kaogan's tagger, at the size they have."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kaogan.aux_models.tagger import load_tagger


class PerceptualDistance(nn.Module):
    """After LPIPS (Zhang et al. 2018) without learnt weights: the features of each place are scaled to unit length, and
    their squared differences are averaged over places and summed over the first stages of the tagger.

    (N, 3, H, W) twice, float in [-1, 1], sides multiples of 8 from 16 on -> (N,), at least 0; 0 for equal pictures.
    Unlike the tagger itself it does not resize: fine lines are what it is to see.
    """

    def __init__(self, stages: int = 3) -> None:
        super().__init__()
        network = load_tagger().network
        self.body = nn.ModuleList(list(network.body)[:stages]).eval().requires_grad_(False)

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        with torch.no_grad():
            targets = list(self._features(wanted))
        differences = [
            (one - other).square().sum(1).mean((1, 2)) for one, other in zip(self._features(made), targets, strict=True)
        ]
        return torch.stack(differences).sum(0)

    def _features(self, x: Tensor) -> list[Tensor]:
        found = []
        for stage in self.body:
            x = stage(x)
            values = x.float()
            found.append(values / (values.square().sum(1, keepdim=True) + 1e-6).sqrt())
        return found
