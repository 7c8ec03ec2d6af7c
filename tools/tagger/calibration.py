"""Calibration of confidences: temperature scaling and how far it is from the truth.

Guo et al. 2017, arXiv:1706.04599.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BINS = 15


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Mean over pictures of |accuracy - confidence| of their bin (eq. 3): top-1, equal-width bins ``(a, b]``.

    ``probabilities`` float (N, V), ``labels`` int (N,). Raises ValueError without pictures.
    """
    if not len(labels):
        raise ValueError("calibration of no pictures")
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == labels
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.zeros(bins)
    np.add.at(gaps, places, right - confidence)
    return float(np.abs(gaps).sum() / len(labels))


def fit_temperature(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
    """The T > 0 for which softmax(logits / T) has the least (weighted) cross-entropy. Logits (N, V), labels (N,)."""
    logits, labels = logits.double(), labels.long()
    weights = torch.ones(len(labels), dtype=torch.float64) if weights is None else weights.double()
    low, high = np.log(0.05), np.log(20.0)
    ratio = (np.sqrt(5) - 1) / 2

    def loss(log_t: float) -> float:
        each = F.cross_entropy(logits / float(np.exp(log_t)), labels, reduction="none")
        return float((each * weights).sum() / weights.sum())

    # In log T the loss has one valley (it is convex in 1/T): golden section needs no derivative and no step size.
    while high - low > 1e-5:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))
