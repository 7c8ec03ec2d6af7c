"""The face detector's network: a picture in, a map of face centres at an eighth of its size out.

After CenterNet (Zhou et al. 2019, "Objects as Points"): a face is a peak of the heat map, and the same cell tells the
exact centre, the size and the eyes. The network knows faces of 24 to 76 pixels; a pyramid brings the others there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.aux_models.face_detector.boxes import Face

STRIDE = 8  # pixels per cell of the map
GRAIN = 16  # the input's sides are multiples of this
UNIT = 42.7  # px, the geometric mean of the sides that it was trained on: sizes are logarithms of multiples of it
CHANNELS = 8  # score, centre x and y (cells), log size, eyes (left x, y, right x, y; sides of the face from its centre)


class Conv(nn.Sequential):
    """3 x 3 or 1 x 1 convolution with batch norm; ``fused`` has the norm folded into the convolution."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1, fused: bool = False) -> None:
        convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=fused)
        super().__init__(convolution, *([] if fused else [nn.BatchNorm2d(outputs)]))


class Block(nn.Module):
    """Residual block, He et al. 2016."""

    def __init__(self, width: int, fused: bool) -> None:
        super().__init__()
        self.first = Conv(width, width, fused=fused)
        self.second = Conv(width, width, fused=fused)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class FaceNet(nn.Module):
    """Images (N, 3, H, W) in [-1, 1], H and W multiples of 16 -> CHANNELS (N, 8, H / 8, W / 8), the score as a logit.

    Cells at an eighth see the lines of a face, those at a sixteenth what is round it.
    """

    def __init__(self, widths: Sequence[int] = (16, 24, 48, 96), fused: bool = False) -> None:
        super().__init__()
        if len(widths) != 4:
            raise ValueError(f"four widths are needed, not {len(widths)}")
        a, b, c, d = widths
        self.widths = tuple(widths)
        self.stem = Conv(3, a, stride=2, fused=fused)
        self.quarter = nn.Sequential(Conv(a, b, stride=2, fused=fused), nn.ReLU(), Block(b, fused))
        self.eighth = nn.Sequential(Conv(b, c, stride=2, fused=fused), nn.ReLU(), Block(c, fused), Block(c, fused))
        self.sixteenth = nn.Sequential(Conv(c, d, stride=2, fused=fused), nn.ReLU(), Block(d, fused), Block(d, fused))
        self.back = Conv(d, c, 1, fused=fused)
        self.merged = Block(c, fused)
        self.head = nn.Sequential(Conv(c, c, fused=fused), nn.ReLU(), nn.Conv2d(c, CHANNELS, 1))
        last = self.head[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        nn.init.constant_(last.bias[:1], -4.0)  # nearly every cell holds no face: Lin et al. 2017, section 4.1

    def forward(self, images: Tensor) -> Tensor:
        fine = self.eighth(self.quarter(F.relu(self.stem(images))))
        wide = F.interpolate(self.back(self.sixteenth(fine)), scale_factor=2.0, mode="nearest")
        return self.head(self.merged(F.relu(fine + wide)))


def decode(maps: Tensor, threshold: float) -> list[list[Face]]:
    """Maps (N, 8, h, w) -> for each picture its peaks of at least ``threshold``, in pixels of the network's input."""
    maps = maps.float()
    scores = maps[:, 0].sigmoid()
    peaks = (F.max_pool2d(scores[:, None], 3, 1, 1)[:, 0] == scores) & (scores >= threshold)
    found: list[list[Face]] = [[] for _ in range(len(maps))]
    for index, row, column in peaks.nonzero().tolist():
        score, dx, dy, size, *eyes = maps[index, :, row, column].tolist()
        side = UNIT * math.exp(min(max(size, -2.0), 2.0))
        x, y = (column + 0.5 + dx) * STRIDE, (row + 0.5 + dy) * STRIDE
        left, right = (x + eyes[0] * side, y + eyes[1] * side), (x + eyes[2] * side, y + eyes[3] * side)
        score = float(scores[index, row, column])
        found[index].append(Face(x - side / 2, y - side / 2, side, side, score, (left, right)))
    return found
