"""The network that compares the two eyes of a face: one trunk for both, the right one mirrored."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 64
TOP, BOTTOM = 20, 56  # of a part with one eye, wherever in an upright face it may lie
LEFT, RIGHT = slice(4, 36), slice(28, 60)
TRUNK = ((3, 16, 1), (16, 24, 2), (24, 40, 2), (40, 40, 1), (40, 64, 2))  # channels before and after, stride
GLANCE = ((3, 12, 2), (12, 16, 2), (16, 24, 2), (24, 24, 2))  # of the whole face, whose turn explains much
HIDDEN, DROPOUT = 48, 0.3


class EyePairNetwork(nn.Module):
    """Faces (N, 3, 64, 64) in [-1, 1] -> (N,): the log odds that their two eyes do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.eye = nn.Sequential(*(block(*each) for each in TRUNK))
        self.face = nn.Sequential(*(block(*each) for each in GLANCE))
        self.hidden = nn.Linear(4 * TRUNK[-1][1] + 4 * GLANCE[-1][1], HIDDEN)
        self.drop = nn.Dropout(DROPOUT)
        self.last = nn.Linear(HIDDEN, 1)

    def forward(self, faces: Tensor) -> Tensor:
        rows = faces[:, :, TOP:BOTTOM]
        maps = self.eye(torch.cat([rows[..., LEFT], rows[..., RIGHT].flip(3)]))
        # Means and maxima: the eyes need not lie at the same height, nor at the same distance from the middle.
        left, right = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1).chunk(2)
        face = F.adaptive_avg_pool2d(self.face(faces), 2).flatten(1)
        seen = torch.cat([left + right, (left - right).abs(), face], 1)
        odds: Tensor = self.last(self.drop(F.relu(self.hidden(seen))))[:, 0]
        return odds


def block(before: int, after: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )
