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
    losses, known, counts, targets = [], *_known(labels), labels.clamp(min=0)
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
    """The share of known labels (N, K) that have the largest logit, averaged over the attributes; a scalar."""
    known, counts = _known(labels)
    guesses = torch.stack([logits[:, part].argmax(1) for part in slices], 1)
    shares = ((guesses == labels) * known).sum(0) / counts
    return shares.mean()


def _known(labels: Tensor) -> tuple[Tensor, Tensor]:
    """1 for each known label and 0 for the others (N, K), and how many are known of each attribute, at least 1 (K,)."""
    known = (labels >= 0).float()
    return known, known.sum(0).clamp(min=1)
