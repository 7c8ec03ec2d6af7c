"""Differentiable tagger features of generated images: perceptual distance and attribute log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from kaogan.aux_models.tagger import Tagger
from kaogan.aux_models.tagger.network import IMAGE_SIZE

FEATURE_WEIGHT = 1.0  # each stage has weight 1
TAG_WEIGHT = 0.1  # the tag divergence is about ten times larger than the other terms


@dataclass(frozen=True)
class TaggerFeatures:
    """``stages``: feature maps (N, C, h, w), unit vectors at every position; ``features``: unit vectors (N, D);
    ``log_probabilities``: (N, values) for each attribute."""

    stages: Sequence[Tensor]
    features: Tensor
    log_probabilities: dict[str, Tensor]

    def distance(self, other: TaggerFeatures) -> Tensor:
        """Perceptual distance (N,) to ``other``, which has N images or one.

        The sum of squared differences of unit features at all stages, as in LPIPS (Zhang et al. 2018, eq. 1) without
        its learned weights; of the pooled features; and of the Kullback-Leibler divergence of the tags, without which
        a face with other hair could be close.
        """
        total = FEATURE_WEIGHT * (self.features - other.features).square().sum(1)
        for mine, theirs in zip(self.stages, other.stages, strict=True):
            total = total + (mine - theirs).square().sum(1).mean((1, 2))
        for name, theirs in other.log_probabilities.items():
            total = total + TAG_WEIGHT * (theirs.exp() * (theirs - self.log_probabilities[name])).sum(1)
        return total


def extract(tagger: Tagger, images: Tensor) -> TaggerFeatures:
    """Tagger features of float images (N, C, H, W) in about [-1, 1], C = 1 or 3; differentiable."""
    images = images.clamp(-1, 1) if not images.requires_grad else _soft_clamp(images)
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    if images.shape[-1] != IMAGE_SIZE:
        images = F.interpolate(images, (IMAGE_SIZE, IMAGE_SIZE), mode="bicubic", antialias=True, align_corners=False)
    network = tagger.network
    stages = network.stages(images)
    features = F.relu(network.last(stages[-1])).mean((2, 3))
    logits = {name: network.heads[name](features) / tagger.temperatures[name] for name in tagger.values}
    return TaggerFeatures(
        [F.normalize(stage, dim=1) for stage in stages],
        F.normalize(features, dim=1),
        {name: values.log_softmax(1) for name, values in logits.items()},
    )


def describe_tags(tagger: Tagger, faces: Sequence[np.ndarray]) -> list[str]:
    """One line for each face uint8 (H, W, C), such as "hair blue (98 %), eyes red (71 %)"."""
    pictures = np.stack([np.repeat(face, 3, 2) if face.shape[2] == 1 else face for face in faces])
    prediction = tagger.predict(pictures)
    lines: list[list[str]] = [[] for _ in faces]
    for name, values in tagger.values.items():
        for line, best, confidence in zip(lines, *prediction.best(name), strict=True):
            line.append(f"{name} {values[best]} ({confidence:.0%})".replace("%", " %"))
    return [", ".join(line) for line in lines]


def _soft_clamp(images: Tensor) -> Tensor:
    """Clamp with a straight-through gradient, so that values outside [-1, 1] can still be optimized."""
    return images + (images.clamp(-1, 1) - images).detach()
