"""Small versions of every recipe, so that a test of a whole training takes a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kaogan import api
from kaogan.aux_models.upscaler.networks import KaoSRSettings
from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.training_loop import TrainResult

SIZES: dict[str, dict[str, Any]] = {
    "dcgan": {"width": 4},
    "growing": {"width": 4, "base_size": 8, "grow_at": 16},
    "residual": {"width": 4},
    "keras_wgan": {"width": 4, "max_width": 8},
    "starsface_wgan": {},
    "stylegan2": {"channel_base": 128, "channel_max": 8},
    "stylegan3": {"channel_base": 128, "channel_max": 8},
    "r3gan": {"channel_base": 256, "channel_max": 16},
    "projected": {"width": 4, "max_width": 8},
}
GENERATOR_SIZES: dict[str, dict[str, Any]] = {
    "residual": {"blocks": 2, "start": 4},
    "starsface_wgan": {"width": 64},
    "stylegan2": {"w_dim": 8, "num_layers": 2},
    "stylegan3": {"w_dim": 8},
}
DISCRIMINATOR_SIZES: dict[str, dict[str, Any]] = {"residual": {"blocks": 1}, "starsface_wgan": {"width": 16}}

TINY_UPSCALER = KaoSRSettings(widths=(6, 6, 8), before=(1, 1), middle=1, after=(1, 1), fine=4)


def small(name: str, **overrides: Any) -> Recipe:
    """The published recipe ``name`` on 24 avatars of 16 px, batches of 8, everything else as it is."""
    published = recipes.load(name)
    g, d = published.generator.family, published.discriminator.family
    size = 32 if {"starsface_wgan", "growing"} & {g, d} else 16
    settings: dict[str, Any] = {
        "image_size": size,
        "training.batch_size": 8,
        "training.images": 48,
        "data.avatars": 24,
        "run.precision": "fp32",
        "run.device": "cpu",
        "run.stats_every": 8,
        "run.grid_every": 1000,
        "run.checkpoint_every": 1000,
        "run.grid_pictures": 4,
        "latent.size": 8,
        # Old fakes from the start, so that the memory takes part.
        "extras.replay": {**published.extras.replay.model_dump(), "start": 8, "lead": 8, "every": 8, "capacity": 5},
    }
    settings |= {f"generator.{k}": v for k, v in (SIZES[g] | GENERATOR_SIZES.get(g, {})).items()}
    settings |= {f"discriminator.{k}": v for k, v in (SIZES[d] | DISCRIMINATOR_SIZES.get(d, {})).items()}
    if getattr(published.discriminator, "crop_networks", ()):
        settings["discriminator.crop_networks"] = [{"name": "tagger", "size": 16, "taps": [0]}]
    if published.generator.family == "dcgan" and published.generator.tail_blocks:
        settings["generator.tail_blocks"] = 1
    if published.attributes.names:
        settings["attributes.names"] = ["hair", "eyes"]
    return recipes.load(name, settings | overrides)


def train(recipe: Recipe, out: Path, **keywords: Any) -> TrainResult:
    return api.run(recipe, api.load_data(recipe), out, **keywords)
