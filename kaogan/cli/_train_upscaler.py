"""What ``kaogan train`` does for the recipes that enlarge."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from kaogan.aux_models.upscaler.networks import build
from kaogan.cli._console import progress_bar
from kaogan.cli._train_progress import tell_finished, without_output_errors
from kaogan.config import recipes
from kaogan.config.upscale_recipe import UpscaleRecipe, load
from kaogan.core.errors import UsageError
from kaogan.core.training_loop import TrainProgress
from kaogan.data import PictureSet, load_pictures
from kaogan.networks import count_parameters
from kaogan.training.upscaler.step import build_discriminator
from kaogan.training.upscaler.train import train


def run(
    console: Console,
    name: str,
    overrides: dict[str, Any],
    data: Path | None,
    out: Path | None,
    dry: bool,
    allow_changes: bool,
) -> int:
    """Train with progress, then say where everything is. Returns the exit code."""
    if "eval_every" in overrides:
        raise UsageError(f"'{name}' is measured every --run.measure_every pictures, not by --eval-every")
    if "image_size" in overrides:
        overrides["crops.size"] = overrides.pop("image_size")
    recipe = load(name, overrides)
    if dry:
        return _dry(console, recipe)
    pictures = _read(recipe, data)
    console.print(escape(f"{len(pictures):,} pictures from {pictures.source}"), soft_wrap=True)
    out = out or Path("runs") / recipe.name
    shown = time.monotonic()
    with progress_bar(recipe.name, recipe.training.images) as update:

        def on_progress(step: TrainProgress) -> None:
            nonlocal shown
            update(min(step.images_seen, step.total), description=f"{recipe.name}  loss {step.stats['loss_g']:.3g}")
            if not console.is_terminal and (time.monotonic() - shown > 15 or step.images_seen >= step.total):
                rate = step.stats["images_per_second"]
                console.print(
                    f"{step.images_seen:>9,} of {step.total:,}  loss {step.stats['loss_g']:.3g}  {rate:.0f} images/s"
                )
                shown = time.monotonic()

        outcome = train(
            recipe, pictures, out, allow_changes=allow_changes, on_progress=without_output_errors(on_progress),
            on_stop=without_output_errors(lambda: console.print("stopping…")),
        )  # fmt: skip
    if not outcome.finished:
        console.print(f"Stopped at {outcome.images_seen:,} pictures; the same command goes on from here.")
        return 130
    if outcome.images_seen == outcome.began_at:
        tell_finished(console, outcome, recipe.training.images)
        return 0
    console.print(
        f"Trained to {outcome.images_seen:,} pictures. Next:  kaogan upscale face.png --model {escape(str(out))}"
    )
    return 0


def _dry(console: Console, recipe: UpscaleRecipe) -> int:
    discriminator = build_discriminator(recipe)
    console.print(recipes.dump(recipe).rstrip(), markup=False, soft_wrap=True)
    others = count_parameters(discriminator) if discriminator else 0
    counts = f"{count_parameters(build(recipe.generator)):,}; discriminator {others:,}"
    console.print(f"\nparameters     {counts}", soft_wrap=True)
    return 0


def _read(recipe: UpscaleRecipe, data: Path | None) -> PictureSet:
    with progress_bar("reading") as update:
        return load_pictures(data, image_size=recipe.crops.size, avatar_count=600, avatar_seed=recipe.run.seed,
                             progress=update)  # fmt: skip
