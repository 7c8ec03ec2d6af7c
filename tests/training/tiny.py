"""A tiny recipe, and what can be set in it."""

from __future__ import annotations

from typing import Any

from kaogan.config import recipes
from kaogan.config.recipe import Recipe

NETWORKS: dict[str, dict[str, Any]] = {
    "dcgan": {"generator": {"width": 4}, "discriminator": {"width": 4}},
    "residual": {"generator": {"width": 4, "blocks": 1, "start": 4}, "discriminator": {"width": 4, "blocks": 1}},
    "keras_wgan": {"generator": {"width": 4, "max_width": 8}, "discriminator": {"width": 4, "max_width": 8}},
    "starsface_wgan": {"generator": {"width": 64}, "discriminator": {"width": 16}},
}
SOON = {"start": 8, "lead": 8, "every": 8}
ATTRIBUTES = {"names": ["hair", "eyes"]}
EXTRAS: list[dict[str, Any]] = [
    {"extras.blurred_reals.ratio": 0.25},
    {"extras.blurred_reals": {"ratio": 0.5, "variant": "source"}},
    {"extras.replay": {"fraction": 0.5, **SOON}},
    {"extras.instance_noise": {"amount": 0.2}},
    {"extras.instance_noise": {"amount": 0.2, "end": 16}},
    {"extras.pixel_loss": {"weight": 2.0, "power": 1}},
    {"extras.pixel_loss": {"weight": 2.0, "power": 2}},
    {"penalties.gradient_penalty.weight": 10.0},
    {"penalties.r1.weight": 1.0},
    {"penalties.r2.weight": 1.0},
    {"penalties.clip": 0.05},
    {"objective": {"real_label": [0.8, 1.0], "fake_label": [0.0, 0.2], "generator_label": 0.9, "label_flip": 0.1}},
    {"data.horizontal_flip": True, "latent.distribution": "uniform"},
    {"attributes": {**ATTRIBUTES}},
    {"attributes": {**ATTRIBUTES, "loss": "sigmoid"}},
    {"attributes": {**ATTRIBUTES, "on_fakes": True, "uniform": True}},
    {"training.reuse_fakes": True, "attributes": ATTRIBUTES},
    {"training.reuse_fakes": True, "extras.instance_noise.amount": 0.1, "extras.pixel_loss.weight": 1.0},
    {"channels": 1, "penalties.r1.every": 2, "penalties.r1.weight": 0.5},
    {"extras.blurred_reals.ratio": 0.1, "extras.replay": {"fraction": 0.1, **SOON},
     "penalties.gradient_penalty.weight": 1.0, "penalties.r1.weight": 0.1, "penalties.r2.weight": 0.1,
     "extras.instance_noise.amount": 0.1, "extras.pixel_loss.weight": 1.0,
     "attributes": {**ATTRIBUTES, "on_fakes": True}, "objective.label_flip": 0.1},
    {"run.channels_last": False, "training.ema_halflife": 0},
    {"extras.fixed_pattern": {"weight": 2.0, "start": 0, "ramp": 8}},
    {"extras.apa": {"p": 0.5, "target": 0.0, "every": 1, "images": 80}, "attributes": ATTRIBUTES},
    {"extras.lecam": {"weight": 1.0, "start": 8, "horizon": 32}},
]  # fmt: skip


def tiny(generator: str = "dcgan", discriminator: str = "dcgan", **overrides: Any) -> Recipe:
    base = {
        "image_size": 32 if "starsface_wgan" in (generator, discriminator) else 16,
        "generator": {"family": generator, **NETWORKS[generator]["generator"]},
        "discriminator": {"family": discriminator, **NETWORKS[discriminator]["discriminator"]},
        "latent": {"size": 8},
        "training": {"batch_size": 8},
    }
    return recipes.load(base, overrides)
