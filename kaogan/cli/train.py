"""``kaogan train``."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._console import console, parse_overrides, refuse_misspelt, sort_words
from kaogan.core.errors import UsageError

EPILOG = "The same command again resumes exactly where it stopped. 'kaogan recipes show NAME' prints every key."


def train(
    context: typer.Context,
    recipe: Annotated[str | None, typer.Argument(help="A published recipe, e.g. dcgan, bamsgan, acgan. (kao)")] = None,
    recipe_file: Annotated[
        Path | None, typer.Option("--recipe", metavar="FILE.yaml", help="A recipe file of your own, instead of a name.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A folder, zip, tar or shards of pictures, or an address (s3://...). Without it: avatars.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The run's folder. (runs/RECIPE)")] = None,
    images: Annotated[int | None, typer.Option(metavar="N", help="Length of the run in real images shown.")] = None,
    image_size: Annotated[int | None, typer.Option(metavar="S", help="Side of the pictures, px.")] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="B", help="Pictures in a batch.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="K", help="Every random draw follows from it.")] = None,
    device: Annotated[str | None, typer.Option(metavar="D", help="auto, cpu, cuda or mps.")] = None,
    precision: Annotated[str | None, typer.Option(metavar="P", help="auto, fp32, tf32, bf16 or fp16.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits each time on CUDA as well, more slowly.")
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the networks (torch.compile), for a card; tried on CPUs only.")
    ] = False,
    eval_every: Annotated[
        int | None, typer.Option(metavar="N", help="Measure it every N images, and keep the best model.")
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Begin with the weights of a model, a run or a name of 'kaogan models'."),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", metavar="ID", help="Of the model, for its card: cc-by-4.0, other, ..."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe, sizes, memory and time; train nothing.")
    ] = False,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Resume although the settings have changed.")
    ] = False,
    processes: Annotated[
        str | None, typer.Option(metavar="N", help="Processes that share training.shards; all: one a card, or a core.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(metavar="M", min=0, help="Stop with a checkpoint after so long; the same call goes on."),
    ] = None,
    track: Annotated[
        str, typer.Option(metavar="T", help="Send the numbers to a tracker as well: wandb, trackio or mlflow.")
    ] = "",
) -> None:
    """Train a generator. [dim]--SECTION.KEY VALUE[/] sets any key of the recipe: [dim]--optim.lr 1e-4[/]."""
    from kaogan.cli._train_progress import run_dry, run_training
    from kaogan.config import recipes
    from kaogan.config.recipe import Recipe

    if "WORLD_SIZE" in os.environ or "MASTER_ADDR" in os.environ:  # of torchrun, or for srun
        from kaogan.core.distributed import join

        console.quiet = not join().first
    recipe, words = sort_words(context, recipe)
    refuse_misspelt(context, words, {*Recipe.model_fields, *recipes.SHORTHANDS})
    if recipe is not None and recipe_file is not None:
        raise UsageError("name one recipe, or give one's own with --recipe FILE.yaml; 'kaogan recipes list' has them")
    overrides = parse_overrides(words)
    for key, value in {"images": images, "image_size": image_size, "batch_size": batch_size, "seed": seed,
                       "device": device, "precision": precision, "eval_every": eval_every,
                       "start_from": start_from, "run.licence": licence}.items():  # fmt: skip
        if value is not None:
            overrides[key] = value
    if deterministic:
        overrides["run.deterministic"] = True
    if compiled:
        overrides["run.compile"] = True
    from kaogan.config import upscale_recipe as upscaling

    if recipe in upscaling.names():
        from kaogan.cli._train_upscaler import run
        from kaogan.core.distributed import join

        if processes or minutes or track or join().count > 1:
            raise UsageError(
                f"{recipe} trains in one process and to its end: leave out torchrun, --processes, --minutes and --track"
            )
        if deterministic or compiled:
            raise UsageError(f"{recipe} has neither --deterministic nor --compile: leave them out")
        raise typer.Exit(run(console, recipe, overrides, data, out, dry_run, allow_changes))
    from kaogan.api import load_recipe

    resolved = load_recipe(recipe_file or recipe or recipes.DEFAULT, overrides, out)
    if dry_run:
        run_dry(console, resolved, data)
        return
    if processes:
        from kaogan.cli._processes import count_processes, launch, without_processes

        count = count_processes(processes, resolved.training.shards, resolved.run.device)
        if count > 1:
            raise typer.Exit(launch(count, without_processes(sys.argv[1:])))
    raise typer.Exit(run_training(console, resolved, data, out, allow_changes, minutes or math.inf, track))
