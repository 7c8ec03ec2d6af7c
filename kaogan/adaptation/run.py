"""Running an adaptation: what is read before the training, and what is kept and measured after it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaogan.adaptation.recipe import adapted_recipe, check_pictures
from kaogan.adaptation.report import PAGE, Measured, measure, write_page
from kaogan.config.recipe import Recipe
from kaogan.core.atomic_io import atomic
from kaogan.core.errors import UsageError
from kaogan.core.progress import Progress, no_progress
from kaogan.data import PictureSet, load_pictures
from kaogan.evaluation.image_sources import read_lines, size_of
from kaogan.generate.model import load
from kaogan.generate.model_io import CARD, CONFIG, PREVIEW, WEIGHTS
from kaogan.training.start_from import read_base


@dataclass(frozen=True)
class Adaptation:
    """An adaptation before its training."""

    recipe: Recipe
    pictures: PictureSet
    notes: list[str]


def prepare(
    base: str | os.PathLike[str], data: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None,
    progress: Progress = no_progress,
) -> Adaptation:  # fmt: skip
    """The recipe and the pictures, checked. Raises UsageError and KaoganError for a base or pictures that won't do."""
    base, weights = os.fspath(base), read_base(base)
    size, channels = weights.config["image_size"], weights.config["channels"]
    side, notes = size_of(Path(data))
    if 2 * side < size:
        raise UsageError(f"the pictures of {data} are {side} px small and {base} draws {size} px: give larger ones")
    pictures = load_pictures(os.fspath(data), image_size=size, channels=channels, progress=progress)
    notes = [*notes, *pictures.notes, *check_pictures(pictures, base)]
    return Adaptation(adapted_recipe(base, len(pictures), overrides, weights), pictures, notes)


def finish(adaptation: Adaptation, out: Path, progress: Progress = no_progress) -> Measured:
    """Make the best model of the finished training in ``out`` its model, measure it beside the base, write the page.

    Needs the base. Raises KaoganError.
    """
    recipe, best, notes = adaptation.recipe, out / "best", list(adaptation.notes)
    if not (best / WEIGHTS).is_file():
        measured = any("eval/copies" in line for line in read_lines(out / "stats.jsonl"))
        notes.append(
            f"every measurement found more than {recipe.eval.max_copies:.0%} copies: the last model was kept; give "
            "more pictures, or less --images"
            if measured
            else "nothing was measured on the way (--eval.every 0, or see log.txt): the last model was kept"
        )
    else:
        for name in (WEIGHTS, CONFIG, CARD, PREVIEW):
            with atomic(out / "model" / name) as temporary:
                temporary.write_bytes((best / name).read_bytes())
    base, model = load(recipe.training.start_from, recipe.run.device), load(out, recipe.run.device)
    found = measure(recipe, adaptation.pictures, base, model, progress)
    write_page(out / PAGE, found, notes, out)
    return found
