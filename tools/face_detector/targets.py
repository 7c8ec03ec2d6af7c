"""Targets and loss of the face detector's training, and the folding of its batch norms at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kaogan.aux_models.face_detector.network import CHANNELS, STRIDE, UNIT, Conv, FaceNet

SMALLEST, LARGEST = 24.0, 76.0  # sides of the faces that are marked in training, in pixels of the input


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
