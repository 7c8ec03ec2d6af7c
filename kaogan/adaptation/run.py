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
from kaogan.core.weights_file import read_weights
from kaogan.data import PictureSet, load_pictures
from kaogan.evaluation.image_sources import read_lines, size_of
from kaogan.generate.latent_filter import FILTER, discard_other
from kaogan.generate.model import load
from kaogan.generate.model_io import CARD, CONFIG, PREVIEW, WEIGHTS, read_config
from kaogan.training.latent_filter import fit_at_end
from kaogan.training.run_dir import RunDir
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


def _keep_best(recipe: Recipe, source: str, out: Path, progress: Progress) -> str:
    """Put ``best/`` in the place of the last model, and a filter beside it if the recipe asks for one: in one line what
    became of that, else empty."""
    best, model = out / "best", out / "model"
    with RunDir(out) as folder:
        # The configuration last: it holds a digest of the weights, so where it is best's everything is.
        if (model / CONFIG).read_bytes() != (best / CONFIG).read_bytes():
            discard_other(model / FILTER, read_weights(best / WEIGHTS)[0])  # that of the last model
            for name in (PREVIEW, CARD, WEIGHTS, CONFIG):
                with atomic(model / name) as temporary:
                    temporary.write_bytes((best / name).read_bytes())
        return fit_at_end(recipe, folder, source, read_config(model / CONFIG)[0]["clock"], progress)


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
        notes += filter(None, [_keep_best(recipe, adaptation.pictures.source, out, progress)])
    place = Path(recipe.training.start_from).expanduser()
    base, model = (load(each, recipe.run.device, filtered=False) for each in (place, out))
    found = measure(recipe, adaptation.pictures, base, model, progress)
    write_page(out / PAGE, found, notes, out)
    return found
