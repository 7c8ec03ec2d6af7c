"""The recipe of an adaptation, derived from its base, and what pictures it takes.

The discriminator is kao's, which looks through trained networks that stay frozen and so overfits late (Sauer et al.
2021); a base that is a run brings its own, with its first layers frozen where the family is StyleGAN's (Freeze-D, Mo et
al. 2020). Mirrored pictures and DiffAugment (Zhao et al. 2020) make the most of the few there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.errors import UsageError
from kaogan.data import PictureSet
from kaogan.training.sampler import held_out_count
from kaogan.training.start_from import BaseWeights, read_base

LEAST, MOST = 10, 1000  # pictures
LEAST_DIFFERENT = 8
LEAST_FOR_COPIES = 50
"""Pictures below which too few are left to say what a copy is (kaogan/metrics/memorization.py)."""
BATCH = 16
"""At most: of few pictures, many small steps learn more than few large ones in the same time."""
PATTERN_FROM = 20_000  # images, half of an adaptation: a base of larger pictures begins with its penalty after that
FROZEN_LAYERS = 4  # of a StyleGAN discriminator, from the picture on
AT_ONCE = 32  # 1,000 large pictures as float32 are more than many a memory
SAME = 2.0  # levels between two pictures' blocks that compression alone makes
GREY = 4.0  # levels: the mean spread between a picture's channels below which it has no colours

SETTINGS: dict[str, Any] = {
    "name": "adapt",
    "summary": "a few pictures in their own style, from a trained generator",
    "source": "kaogan/adaptation/recipe.py",
    "attributes.names": [],
    "optim.lr": 4e-4,
    "optim.generator.lr": 2e-4,
    "optim.discriminator.lr": None,
    "training.images": 40_000,
    "training.shards": 1,  # those of a base were for its batch
    "training.reuse_features": False,  # as docs/results/adapt.md was measured
    "training.ema_halflife": 1_000,
    "training.ema_rampup": 0,  # the average starts as the base, not as the first steps
    "data.horizontal_flip": True,
    "data.held_out": 0.2,
    "data.instance_selection": 1.0,  # each of a few pictures counts
    "data.clear_eyes": False,
    "extras.fixed_pattern.ramp": 20_000,
    "extras.instance_noise.amount": 0.0,  # a base's own was for its first steps
    "extras.blur_fade.sigma": 0.0,  # and so was this
    "extras.augment": {"name": "diffaugment", "policy": ["color", "translation", "cutout"]},
    "run.latent_filter": False,  # its judge looked at faces of other styles
    "run.stats_every": 500,
    "run.grid_every": 2_000,
    "run.checkpoint_every": 2_000,
    "eval.every": 2_000,
    "eval.metrics": ["kid", "memorization"],
    "eval.pictures": 300,
    "eval.patience": 4,
    "eval.max_copies": 0.1,
}


def adapted_recipe(
    base: str, count: int, overrides: Mapping[str, Any] | None = None, weights: BaseWeights | None = None
) -> Recipe:
    """The recipe for ``count`` pictures; ``overrides`` are dotted keys of the user's, ``weights`` the base's if read
    already.

    Raises UsageError for a base that is no generator or whose pictures these networks cannot take, KaoganError for
    damaged ones.
    """
    weights = weights or read_base(base)
    tree, settings = _of_base(base, weights), dict(SETTINGS)
    if count < LEAST_FOR_COPIES:
        settings["eval.metrics"] = ["kid"]
    settings |= {"training.start_from": base, **(overrides or {})}
    given = recipes.resolve(tree, settings, "adapt")
    trained = max(1, count - held_out_count(count, given.data.held_out))
    derived = {
        "training.batch_size": min(BATCH, given.training.batch_size, trained),
        "extras.fixed_pattern.start": min(given.extras.fixed_pattern.start, PATTERN_FROM),
    }
    return recipes.resolve(tree, {**derived, **settings}, "adapt")


def _of_base(base: str, weights: BaseWeights) -> dict[str, Any]:
    """The recipe of a base that brings its discriminator; else kao's with the base's generator."""
    if weights.discriminator is not None:
        tree = recipes.load(Path(base).expanduser() / "recipe.yaml").to_dict()
        if tree["discriminator"]["family"] in ("stylegan2", "stylegan3"):
            tree["discriminator"]["freeze_layers"] = FROZEN_LAYERS
    else:
        growing = weights.config["generator"]["family"] == "growing"  # whose detail is seen on crops only
        tree = recipes.load("kao-256" if growing else "kao").to_dict()
        tree["generator"] = dict(weights.config["generator"])
        if not growing:  # what docs/results/adapt.md tells was measured without
            tree["discriminator"] |= {"crop_networks": [], "crop_zoom": 1}
    if "unfreeze_at" in tree["discriminator"]:
        tree["discriminator"]["unfreeze_at"] = None
    return tree | {key: weights.config[key] for key in ("latent", "image_size", "channels")}


def check_pictures(pictures: PictureSet, base: str) -> list[str]:
    """Notes about the pictures. Raises UsageError for too few, too many, copies of one, and grey ones for a base of
    colours."""
    count, where = len(pictures), pictures.source
    skipped = f"; {len(pictures.skipped)} files could not be used" if pictures.skipped else ""
    if count < LEAST:
        raise UsageError(f"{where} has {count} pictures{skipped}; adapt takes {LEAST} to {MOST:,}, 50 are good")
    if count > MOST:
        raise UsageError(
            f"{where} has {count:,} pictures; adapt takes {LEAST} to {MOST:,}: train with --start-from {base}, or give "
            "a part of them"
        )
    different = different_pictures(pictures.batches(AT_ONCE))
    if different < LEAST_DIFFERENT:
        raise UsageError(
            f"{where} has {count} pictures, but only {different} different one{'s' * (different > 1)}; "
            f"{LEAST_DIFFERENT} at least are needed"
        )
    if pictures.images.shape[-1] == 3:
        grey = sum(int(np.count_nonzero(_spread(some) < GREY)) for some in pictures.batches(AT_ONCE))
        if grey > count // 2:
            raise UsageError(
                f"{grey} of the {count} pictures of {where} are grey, and {base} draws in colours; give coloured ones, "
                "or a base that was trained with --channels 1"
            )
        if grey:
            return [f"{grey} of {count} pictures are grey: some faces will be, too"]
    if different < count:
        return [f"{count - different} pictures are near copies of others: each counts as often as it is there"]
    return []


def different_pictures(batches: Iterable[np.ndarray]) -> int:
    """How many of uint8 (N, S, S, C) differ by more than SAME levels on the mean of their blocks of an 8th of S."""
    small = np.concatenate([_shrunk(images) for images in batches])
    kept = small[:1]
    for each in small[1:]:
        if np.abs(kept - each).mean(1).min() > SAME:
            kept = np.concatenate([kept, each[None]])
    return len(kept)


def _shrunk(images: np.ndarray) -> np.ndarray:
    """The means of the blocks, float32 (N, D)."""
    count, side, _, channels = images.shape
    block = max(1, side // 8)
    cells = side // block
    whole = images[:, : block * cells, : block * cells].astype(np.float32)
    return whole.reshape(count, cells, block, cells, block, channels).mean((2, 4)).reshape(count, -1)


def _spread(images: np.ndarray) -> np.ndarray:
    """uint8 (N, S, S, 3) -> the mean difference of their channels (N,), levels."""
    return (images.max(-1) - images.min(-1)).mean((1, 2))
