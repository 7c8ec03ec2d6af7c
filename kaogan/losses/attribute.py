"""Attribute classification (Odena et al. 2017), for several independent attributes with unknown labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def attribute_loss(logits: Tensor, labels: Tensor, slices: Sequence[slice], kind: str = "softmax") -> list[Tensor]:
    """One scalar for each attribute: the mean over the pictures whose label is known, 0 when none is.

    ``logits`` (N, A), ``labels`` (N, K) with -1 for unknown. ``softmax`` is cross-entropy over the attribute's values;
    ``sigmoid`` is binary cross-entropy for each value, averaged over the values.
    """
    losses, known, targets = [], (labels >= 0).float(), labels.clamp(min=0)
    counts = count_known(labels).clamp(min=1)
    for column, part in enumerate(slices):
        target, own = targets[:, column], logits[:, part].float()
        if kind == "softmax":
            each = F.cross_entropy(own, target, reduction="none")
        else:
            one_hot = F.one_hot(target, own.shape[1]).float()
            each = F.binary_cross_entropy_with_logits(own, one_hot, reduction="none").mean(1)
        losses.append((each * known[:, column]).sum() / counts[column])
    return losses


def attribute_accuracy(logits: Tensor, labels: Tensor, slices: Sequence[slice]) -> Tensor:
    """The share of known labels (N, K) that have the largest logit, averaged over the attributes of which any is known;
    a scalar, 0 when there is none."""
    guesses = torch.stack([logits[:, part].argmax(1) for part in slices], 1)
    counts = count_known(labels)
    shares = ((guesses == labels) & (labels >= 0)).sum(0) / counts.clamp(min=1)
    return shares.sum() / (counts > 0).sum().clamp(min=1)


def count_known(labels: Tensor) -> Tensor:
    """How many of the labels (N, K) are known of each attribute, (K,)."""
    return (labels >= 0).sum(0)
