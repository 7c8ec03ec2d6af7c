"""``kaogan compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, parse_overrides, progress_report, refuse_misspelt, split_words
from kaogan.cli._options import split_list
from kaogan.metrics.registry import DEFAULT_FEATURES

EPILOG = (
    "Without names, the page is made again from the runs in --out. --SECTION.KEY VALUE sets a key of every recipe. "
    "The same command again goes on where it stopped."
)


def compare(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECIPE|RUN...", help="Recipes to train (dcgan, mine.yaml) and folders of finished runs."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder of the runs and of the page, leaderboard.html.")
    ] = Path("runs/compare"),
    data: Annotated[
        Path | None, typer.Option(metavar="SET", help="The real pictures, for training and measuring. (avatars)")
    ] = None,
    images: Annotated[int | None, typer.Option(metavar="N", help="Budget of each recipe: real images shown.")] = None,
    minutes: Annotated[float | None, typer.Option(metavar="M", help="Or its budget in minutes of training.")] = None,
    seeds: Annotated[
        int, typer.Option(metavar="K", help="Number of trainings of each recipe, with different seeds.")
    ] = 1,
    features: Annotated[
        str, typer.Option(metavar="A,B", help="Feature extractors; the first one ranks. (efficientnet)")
    ] = "",
    count: Annotated[int, typer.Option(metavar="N", help="Pictures drawn from each model.")] = 10_000,
) -> None:
    """Rank recipes, trained under one budget, and finished runs: [dim]compare dcgan wgan-gp --images 50000[/]."""
    from kaogan.config.recipe import Recipe
    from kaogan.evaluation.compare import Budget
    from kaogan.evaluation.compare import compare as run
    from kaogan.evaluation.leaderboard import verdict_of, write_leaderboard

    subjects, pairs = split_words(context, names or [])
    refuse_misspelt(context, pairs, set(Recipe.model_fields))
    budget = None if images is None and minutes is None else Budget(images, minutes)
    with progress_report("comparing") as report:
        entries = run(
            subjects, data, out, budget=budget, seeds=seeds, features=split_list(features) or [DEFAULT_FEATURES],
            count=count, overrides=parse_overrides(pairs), report=report,
        )  # fmt: skip
    path = write_leaderboard(entries, out / "leaderboard.html")
    if sentence := verdict_of(entries):
        console.print(escape(sentence), soft_wrap=True)
    console.print(escape(f"The leaderboard: {path}"), soft_wrap=True)
