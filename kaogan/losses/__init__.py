"""What the players minimise: pairs of small functions of scores, penalties, and attribute classification."""

from kaogan.losses.adversarial import OBJECTIVES, Objective, discriminator_loss, generator_loss, negatives_loss
from kaogan.losses.attribute import attribute_accuracy, attribute_loss
from kaogan.losses.gradient_penalty import (
    clip_weights,
    gradient_penalty,
    path_length,
    path_lengths,
    zero_centred,
)

__all__ = [
    "OBJECTIVES",
    "Objective",
    "attribute_accuracy",
    "attribute_loss",
    "clip_weights",
    "discriminator_loss",
    "generator_loss",
    "gradient_penalty",
    "negatives_loss",
    "path_length",
    "path_lengths",
    "zero_centred",
]
