"""The eye classifier's network: a face of 64 px -> a logit, positive where it has two matching eyes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 64
TOP, BOTTOM = 8, 56  # the rows that are read: where faces cropped in any of the usual ways have their eyes
WIDTHS, KERNELS = (32, 64, 96), (5, 3, 3)
MERGED, HIDDEN = 64, 32


class EyeClassifier(nn.Module):
    """Images (N, 3, 64, 64) in [-1, 1] -> logits (N,). About 0.19 million weights.

    The last maps meet their own mirror image, so that the eyes can be compared: a plain convolution sees one at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        ins = 3
        for outs, kernel in zip(WIDTHS, KERNELS, strict=True):
            convolution = nn.Conv2d(ins, outs, kernel, 2, kernel // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(outs), nn.ReLU()]
            ins = outs
        self.features = nn.Sequential(*layers)
        self.merge = nn.Conv2d(2 * ins, MERGED, 1)
        self.hidden = nn.Linear(MERGED * (SIDE // 8) * ((BOTTOM - TOP) // 8), HIDDEN)
        self.logit = nn.Linear(HIDDEN, 1)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.features(images[:, :, TOP:BOTTOM])
        maps = F.relu(self.merge(torch.cat([maps, maps.flip(3)], 1)))
        maps = F.dropout(maps, 0.1, self.training)
        return self.logit(F.relu(self.hidden(maps.flatten(1))))[:, 0]
