"""Pictures and labels of a training, read as its recipe asks."""

from __future__ import annotations

import os
from collections.abc import Callable

from kaogan.config.recipe import Recipe
from kaogan.core.device import choose_device
from kaogan.core.distributed import join
from kaogan.data import PictureSet, load_pictures
from kaogan.training.evaluator import check_evaluation
from kaogan.training.instance_selection import with_typicality
from kaogan.training.state import check_networks


def load_data(
    recipe: Recipe,
    data: str | os.PathLike[str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> PictureSet:
    """The pictures and labels that ``recipe`` trains on, decoded once into the cache.

    Raises UsageError when it cannot be trained here at all, before anything is read.
    """
    device = choose_device(recipe.run.device)
    check_networks(recipe)
    check_evaluation(recipe)
    settings = recipe.attributes
    with join().one_first():
        pictures = load_pictures(
            None if data is None else os.fspath(data),
            image_size=recipe.image_size,
            channels=recipe.channels,
            attributes=settings.names or None,
            merge=settings.merge or None,
            classes=recipe.data.classes if recipe.data.classes == "ask" else "yes" if recipe.data.classes else "no",
            avatar_count=recipe.data.avatars,
            avatar_seed=recipe.run.seed,
            avatars_mirrored=recipe.data.avatars_mirrored,
            workers=recipe.data.workers,
            progress=progress,
        )
        selection = recipe.data
        return with_typicality(
            pictures, selection.instance_selection, selection.held_out, device, progress, eyes=selection.clear_eyes
        )
