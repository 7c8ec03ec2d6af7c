"""Losses of both networks.

An adversarial objective is an entry of OBJECTIVES in ``adversarial.py``; a further term of a loss is an extra, one file
in ``extras/``; penalties on gradients and attribute classification have files of their own.
"""

from kaogan.losses.adversarial import (
    OBJECTIVES,
    Objective,
    discriminator_loss,
    draw_targets,
    extra_fakes_loss,
    generator_loss,
)
from kaogan.losses.attribute import attribute_accuracy, attribute_loss
from kaogan.losses.gradient_penalty import (
    LabelledImages,
    clip_weights,
    due_gradient_penalties,
    gradient_penalty,
    zero_centred,
)
from kaogan.losses.path_length import path_length_penalty, path_lengths

__all__ = [
    "OBJECTIVES",
    "LabelledImages",
    "Objective",
    "attribute_accuracy",
    "attribute_loss",
    "clip_weights",
    "discriminator_loss",
    "draw_targets",
    "due_gradient_penalties",
    "extra_fakes_loss",
    "generator_loss",
    "gradient_penalty",
    "path_length_penalty",
    "path_lengths",
    "zero_centred",
]
