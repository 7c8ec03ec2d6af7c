"""Extras of a training, one file each: settings, the moments at which it acts, and its state.

An extra is a subclass of ``Extra`` that is registered in EXTRAS; the recipe's section ``extras`` has a key for each.
"""

from __future__ import annotations

from kaogan.config.recipe import Recipe
from kaogan.core.registry import Registry
from kaogan.losses.extras.base import Extra, StepContext

__all__ = ["EXTRAS", "Extra", "StepContext", "build_extras"]


EXTRAS: Registry[type[Extra]] = Registry(
    "extra",
    {
        "instance_noise": "kaogan.losses.extras.instance_noise",
        "blur_fade": "kaogan.losses.extras.blur_fade",
        "augment": "kaogan.losses.extras.augment",
        "blurred_reals": "kaogan.losses.extras.blurred_reals",
        "replay": "kaogan.losses.extras.replay_buffer",
        "pixel_loss": "kaogan.losses.extras.pixel_loss",
        "style_mixing": "kaogan.losses.extras.style_mixing",
        "fixed_pattern": "kaogan.losses.extras.fixed_pattern",
        "apa": "kaogan.losses.extras.apa",
        "lecam": "kaogan.losses.extras.lecam",
    },
)
"""They act in this order, those of plug-ins last."""


def build_extras(recipe: Recipe) -> dict[str, Extra]:
    """Every registered extra with the recipe's settings, in the order of the registry, also those that are off."""
    return {name: EXTRAS[name](getattr(recipe.extras, name), recipe) for name in EXTRAS}
