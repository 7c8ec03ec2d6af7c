"""The face detector's network: a picture in, a map of face centres at an eighth of its size out.

After CenterNet (Zhou et al. 2019, "Objects as Points"): a face is a peak of the heat map, and the same cell tells the
exact centre, the size and the eyes. The network knows faces of SMALLEST to LARGEST pixels; a pyramid brings the others
there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kaogan.aux_models.face_detector.boxes import Face

STRIDE = 8  # pixels per cell of the map
GRAIN = 16  # the input's sides are multiples of this
SMALLEST, LARGEST = 24.0, 76.0  # sides of the faces that are marked in training, in pixels of the input
UNIT = 42.7  # their geometric mean: sizes are logarithms of multiples of it
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


def fuse(network: FaceNet) -> FaceNet:
    """The same function without batch norms: what is shipped."""
    fused = FaceNet(network.widths, fused=True).eval()
    twins = dict(fused.named_modules())
    for name, module in network.eval().named_modules():
        if isinstance(module, Conv):
            convolution, norm = module
            assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            folded = fuse_conv_bn_eval(convolution, norm)
            twins[f"{name}.0"].load_state_dict(folded.state_dict())
    fused.head[-1].load_state_dict(network.head[-1].state_dict())
    return fused


@dataclass(frozen=True)
class Marks:
    """The faces of one training picture: centre, side and, or NaN, eyes in pixels. ``doubtful`` ones are not judged."""

    centres: np.ndarray  # (N, 2)
    sides: np.ndarray  # (N,)
    eyes: np.ndarray  # (N, 4)
    doubtful: np.ndarray  # (N,) bool


def encode(marks: Sequence[Marks], rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Marks -> wanted maps (N, 8, rows, columns) and weights (N, 3, rows, columns) of score, box and eyes.

    The wanted score is a Gaussian hill of a seventh of the face's side, 1 at the cell of the centre. Faces outside of
    SMALLEST .. LARGEST count as none, and those within a factor of 1.4 of that range are not judged.
    """
    wanted = np.zeros((len(marks), CHANNELS, rows, columns), np.float32)
    weights = np.zeros((len(marks), 3, rows, columns), np.float32)
    weights[:, 0] = 1
    grid_y, grid_x = np.mgrid[:rows, :columns] + 0.5
    for index, mark in enumerate(marks):
        for (x, y), side, eyes, doubtful in zip(mark.centres, mark.sides, mark.eyes, mark.doubtful, strict=True):
            if not SMALLEST / 1.4 < side < LARGEST * 1.4:
                continue
            away_x, away_y = x / STRIDE - grid_x, y / STRIDE - grid_y
            spread = max(side / 7 / STRIDE, 0.6)
            hill = np.exp(-(away_x**2 + away_y**2) / (2 * spread**2))
            if doubtful or not SMALLEST <= side <= LARGEST:
                weights[index, 0][hill > 0.1] = 0
                continue
            row, column = int(y // STRIDE), int(x // STRIDE)
            if not (0 <= row < rows and 0 <= column < columns):
                continue
            hill[row, column] = 1
            near = hill > 0.4
            wanted[index, 0] = np.maximum(wanted[index, 0], hill)
            wanted[index, 1][near], wanted[index, 2][near] = away_x[near], away_y[near]
            wanted[index, 3][near] = math.log(side / UNIT)
            weights[index, 1][near] = hill[near]
            known = not np.isnan(eyes).any()
            if known:
                relative = (eyes - np.array([x, y, x, y])) / side
                wanted[index, 4:, near] = relative
            weights[index, 2][near] = hill[near] * known
    return wanted, weights


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


def loss(maps: Tensor, wanted: Tensor, weights: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Focal loss of the score (Zhou et al. 2019, eq. 1), absolute errors of centre, size and eyes; all per face."""
    maps = maps.float()
    logits, goal = maps[:, 0], wanted[:, 0]
    score = logits.sigmoid()
    top = goal >= 1
    count = (top & (weights[:, 0] > 0)).sum().clamp(min=1)
    hit = -F.logsigmoid(logits) * (1 - score) ** 2
    miss = -F.logsigmoid(-logits) * score**2 * (1 - goal) ** 4
    focal = (torch.where(top, hit, miss) * weights[:, 0]).sum() / count
    near, eyes = weights[:, 1:2], weights[:, 2:3]
    centre = ((maps[:, 1:3] - wanted[:, 1:3]).abs() * near).sum() / near.sum().clamp(min=1)
    size = ((maps[:, 3:4] - wanted[:, 3:4]).abs() * near).sum() / near.sum().clamp(min=1)
    eye = ((maps[:, 4:] - wanted[:, 4:]).abs() * eyes).sum() / eyes.sum().clamp(min=1)
    total = focal + 0.2 * centre + size + eye
    parts = {"score": focal, "centre": centre, "size": size, "eyes": eye}
    return total, {name: float(value.detach()) for name, value in parts.items()}
