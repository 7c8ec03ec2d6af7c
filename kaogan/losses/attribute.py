"""Attribute classification (Odena et al. 2017), for several independent attributes with unknown labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def attribute_loss(logits: Tensor, labels: Tensor, slices: Sequence[slice], kind: str = "softmax") -> list[Tensor]:
    """One scalar for each attribute: the mean over the pictures whose label is known, 0 when none is.

    ``logits`` (N, A), ``labels`` (N, K) with -1 for unknown. ``softmax`` is cross-entropy over the attribute's values;
    ``sigmoid`` is binary cross-entropy for each value, averaged over the values.
    """
    losses = []
    for column, part in enumerate(slices):
        known = (labels[:, column] >= 0).float()
        target = labels[:, column].clamp(min=0)
        own = logits[:, part].float()
        if kind == "softmax":
            each = F.cross_entropy(own, target, reduction="none")
        else:
            one_hot = F.one_hot(target, own.shape[1]).float()
            each = F.binary_cross_entropy_with_logits(own, one_hot, reduction="none").mean(1)
        losses.append((each * known).sum() / known.sum().clamp(min=1))
    return losses


def attribute_accuracy(logits: Tensor, labels: Tensor, slices: Sequence[slice]) -> Tensor:
    """The share of known labels (N, K) that have the largest logit, averaged over the attributes; a scalar."""
    shares = []
    for column, part in enumerate(slices):
        known = (labels[:, column] >= 0).float()
        right = (logits[:, part].argmax(1) == labels[:, column]).float()
        shares.append((right * known).sum() / known.sum().clamp(min=1))
    return sum(shares[1:], shares[0]) / len(shares)
