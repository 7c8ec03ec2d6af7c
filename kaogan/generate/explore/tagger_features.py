"""What the tagger sees of a model's images, differentiably: perceptual distances, and odds of attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from kaogan.aux_models.tagger import Tagger
from kaogan.aux_models.tagger.network import IMAGE_SIZE

FEATURES = 1.0  # weight of the features, against one for each stage
TAGS = 0.1  # weight of the divergence of the tags, whose numbers are ten times larger


@dataclass(frozen=True)
class Sight:
    """``stages``: unit vectors at every place, (N, C, h, w) each; ``features``: unit vectors (N, D)."""

    stages: Sequence[Tensor]
    features: Tensor
    log_probabilities: dict[str, Tensor]

    def distance(self, other: Sight) -> Tensor:
        """The perceptual distance (N,) to ``other``, which has N pictures or one.

        Squared differences of unit features at every place of every stage, as in LPIPS (Zhang et al. 2018, eq. 1)
        without its learned weights; those of the features that the tags are read from; and the Kullback-Leibler
        divergence of the tags themselves, or a picture of other hair could be near.
        """
        total = FEATURES * (self.features - other.features).square().sum(1)
        for mine, theirs in zip(self.stages, other.stages, strict=True):
            total = total + (mine - theirs).square().sum(1).mean((1, 2))
        for name, theirs in other.log_probabilities.items():
            total = total + TAGS * (theirs.exp() * (theirs - self.log_probabilities[name])).sum(1)
        return total


def look(tagger: Tagger, images: Tensor) -> Sight:
    """Images float (N, C, H, W) about [-1, 1], C = 1 or 3 -> what the tagger sees of them."""
    images = images.clamp(-1, 1) if not images.requires_grad else _soft_clamp(images)
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    if images.shape[-1] != IMAGE_SIZE:
        images = F.interpolate(images, (IMAGE_SIZE, IMAGE_SIZE), mode="bicubic", antialias=True, align_corners=False)
    network = tagger.network
    stages = network.stages(images)
    features = F.relu(network.last(stages[-1])).mean((2, 3))
    odds = {name: network.heads[name](features) / tagger.temperatures[name] for name in tagger.values}
    return Sight(
        [F.normalize(stage, dim=1) for stage in stages],
        F.normalize(features, dim=1),
        {name: values.log_softmax(1) for name, values in odds.items()},
    )


def opinions(tagger: Tagger, faces: Sequence[np.ndarray]) -> list[str]:
    """One line for each face uint8 (H, W, C): "hair blue (98 %), eyes red (71 %)"."""
    pictures = np.stack([np.repeat(face, 3, 2) if face.shape[2] == 1 else face for face in faces])
    prediction = tagger.predict(pictures)
    lines: list[list[str]] = [[] for _ in faces]
    for name, values in tagger.values.items():
        for line, best, confidence in zip(lines, *prediction.best(name), strict=True):
            line.append(f"{name} {values[best]} ({confidence:.0%})".replace("%", " %"))
    return [", ".join(line) for line in lines]


def _soft_clamp(images: Tensor) -> Tensor:
    """Clamped, with the gradient of what was not: a style network's picture beyond white still learns to come back."""
    return images + (images.clamp(-1, 1) - images).detach()
