"""Adversarial objectives: what calling a score real or fake costs.

Scores are unbounded: (N,), or (N, H) of a discriminator with several heads, each of which is met on its own. Every loss
has the shape of its scores. ``opponents`` are the scores of the other side, which only the relativistic objective looks
at. A label p between 0 and 1 is the expected loss of a picture that is real with probability p; for bce that *is*
cross-entropy against a soft label, and it gives all the others the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.core.registry import Registry

Loss = Callable[[Tensor, Tensor], Tensor]


class Objective(NamedTuple):
    real: Loss
    """Discriminator: the loss of a picture that should be called real."""
    fake: Loss
    """Discriminator: the loss of a picture that should be called fake."""
    generator: Loss
    """Generator: the loss of a picture that should pass for real."""
    paired: bool = False
    """Whether the opponents matter. Each pair is then met from both sides, so each side counts half."""
    logistic: bool = False
    """Whether sigmoid(score) is the probability of being real, as reported in D(x) and D(G(z))."""


def _logistic(scores: Tensor, opponents: Tensor) -> Tensor:
    return F.softplus(-scores)


OBJECTIVES: Registry[Objective] = Registry("objective")

# Goodfellow et al. 2014, the non-saturating form, on logits.
_NON_SATURATING = Objective(_logistic, lambda s, o: F.softplus(s), _logistic, logistic=True)

OBJECTIVES.register("bce", _NON_SATURATING)
OBJECTIVES.register("softplus", _NON_SATURATING)
# Mao et al. 2017, eq. 9 with a = 0, b = c = 1.
OBJECTIVES.register(
    "lsgan",
    Objective(lambda s, o: (s - 1).square() / 2, lambda s, o: s.square() / 2, lambda s, o: (s - 1).square() / 2),
)
# Lim & Ye 2017, eq. 3.
OBJECTIVES.register("hinge", Objective(lambda s, o: F.relu(1 - s), lambda s, o: F.relu(1 + s), lambda s, o: -s))
# Arjovsky et al. 2017.
OBJECTIVES.register("wasserstein", Objective(lambda s, o: -s, lambda s, o: s, lambda s, o: -s))
# Huang et al. 2024 (R3GAN) after Jolicoeur-Martineau 2019: softplus of the difference within each pair.
OBJECTIVES.register(
    "relativistic",
    Objective(
        lambda s, o: F.softplus(o - s), lambda s, o: F.softplus(s - o), lambda s, o: F.softplus(o - s), paired=True
    ),
)


def discriminator_loss(
    objective: Objective, real: Tensor, fake: Tensor, real_label: Tensor | float = 1.0, fake_label: Tensor | float = 0.0
) -> Tensor:
    """Scores of reals and fakes (N,) or (N, H), labels scalar or (N,) -> scalar: the sum of both sides' means."""
    loss = labelled(objective, real, fake, real_label).mean() + labelled(objective, fake, real, fake_label).mean()
    return loss / 2 if objective.paired else loss


def generator_loss(objective: Objective, fake: Tensor, real: Tensor, label: Tensor | float = 1.0) -> Tensor:
    """Scores of fakes (and of reals, for a paired objective) -> scalar."""
    loss = objective.generator(fake, real)
    if isinstance(label, Tensor) or label != 1:
        loss = mixed(label, loss, objective.fake(fake, real))
    return loss.mean()


def extra_fakes_loss(objective: Objective, scores: Tensor, real: Tensor) -> Tensor:
    """Scores (M,) of extra fakes (blurred, replayed), M <= N reals -> scalar, a mean over its own batch."""
    return objective.fake(scores, real[: len(scores)]).mean()


def labelled(objective: Objective, scores: Tensor, opponents: Tensor, label: Tensor | float) -> Tensor:
    """The loss, shaped like ``scores``, of pictures that are real with probability ``label``."""
    if not isinstance(label, Tensor):
        if label == 1:
            return objective.real(scores, opponents)
        if label == 0:
            return objective.fake(scores, opponents)
    return mixed(label, objective.real(scores, opponents), objective.fake(scores, opponents))


def mixed(label: Tensor | float, real: Tensor, fake: Tensor) -> Tensor:
    """Losses (N,) or (N, H) as real and as fake, weighted by labels, scalar or (N,)."""
    if isinstance(label, Tensor) and real.ndim > 1:
        label = label[:, None]
    return label * real + (1 - label) * fake


def draw_targets(span: tuple[float, float], flip: float, count: int, rng: torch.Generator) -> Tensor | float:
    """Labels (count,) of real (1) and fake (0), smoothed (Salimans et al. 2016, section 3.4) and flipped, on the CPU.

    They are uniform in ``span``, each swapped with probability ``flip``; one number when all are alike.
    """
    low, high = span
    if low == high and not flip:
        return low
    labels = low + (high - low) * torch.rand(count, generator=rng)
    return torch.where(torch.rand(count, generator=rng) < flip, 1 - labels, labels)
