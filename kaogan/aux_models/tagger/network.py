"""The tagger's network: a small residual net of plain 3x3 convolutions, read at 64 px.

Plain convolutions, because on a CPU they run several times faster per multiplication than depthwise ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.core.schema import EYES, HAIR

IMAGE_SIZE = 64
ATTRIBUTES: dict[str, tuple[str, ...]] = {"hair": HAIR, "eyes": EYES}


@dataclass(frozen=True)
class Architecture:
    """``widths``: channels of the stages at 32, 16, 8 and 4 px; ``depths``: residual blocks in each; ``features``: the
    size of the penultimate layer; ``heads``: outputs of each linear head on it."""

    widths: tuple[int, ...] = (32, 48, 96, 192)
    depths: tuple[int, ...] = (1, 1, 1, 1)
    features: int = 384
    heads: Mapping[str, int] = field(
        default_factory=lambda: {"hair": len(HAIR), "eyes": len(EYES), "face": 1, "quality": 1, "faults": 12}
    )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Architecture:
        heads = {str(name): int(size) for name, size in data["heads"].items()}
        return cls(tuple(map(int, data["widths"])), tuple(map(int, data["depths"])), int(data["features"]), heads)


class Convolution(nn.Module):
    """A convolution without bias and its batch norm; or, ``folded``, one convolution with a bias that does both."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, folded: bool = False) -> None:
        super().__init__()
        padding = (kernel - 1) // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=folded)
        self.norm = nn.Identity() if folded else nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class Block(nn.Module):
    """The basic residual block of He et al. 2016, arXiv:1512.03385, figure 5 left. (N, C, H, W) -> the same."""

    def __init__(self, width: int, folded: bool) -> None:
        super().__init__()
        self.first = Convolution(width, width, 3, folded=folded)
        self.second = Convolution(width, width, 3, folded=folded)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class Stage(nn.Module):
    """Halves height and width, then refines. (N, C, H, W) -> (N, width, H/2, W/2)."""

    def __init__(self, inputs: int, width: int, depth: int, kernel: int, folded: bool) -> None:
        super().__init__()
        self.down = Convolution(inputs, width, kernel, stride=2, folded=folded)
        self.blocks = nn.Sequential(*(Block(width, folded) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(F.relu(self.down(x)))


class TaggerNetwork(nn.Module):
    """Images float (N, 3, 64, 64) in [-1, 1] -> features (N, D) and the logits of every head.

    ``folded`` builds the form without norms that is saved and used for prediction; see ``fold``.
    """

    def __init__(self, architecture: Architecture, folded: bool = False) -> None:
        super().__init__()
        self.architecture = architecture
        widths: Sequence[int] = (3, *architecture.widths)
        self.body = nn.ModuleList(
            Stage(widths[k], widths[k + 1], depth, 4 if k == 0 else 3, folded)
            for k, depth in enumerate(architecture.depths)
        )
        self.last = Convolution(widths[-1], architecture.features, 1, folded=folded)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(architecture.features, size) for name, size in architecture.heads.items()}
        )

    def stages(self, images: Tensor) -> list[Tensor]:
        """The output of every stage, at 32, 16, 8 and 4 px. Differentiable, for perceptual distances."""
        outputs = []
        x = images
        for stage in self.body:
            x = stage(x)
            outputs.append(x)
        return outputs

    def features(self, images: Tensor) -> Tensor:
        """The penultimate layer, float (N, D), not negative."""
        return F.relu(self.last(self.stages(images)[-1])).mean((2, 3))

    def forward(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        features = self.features(images)
        return features, {name: head(features) for name, head in self.heads.items()}
