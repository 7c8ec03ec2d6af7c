"""``kaogan compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, parse_overrides, progress_report, refuse_misspelt
from kaogan.cli._options import split_list
from kaogan.core.errors import UsageError
from kaogan.metrics.registry import DEFAULT_FEATURES

EPILOG = (
    "Without names, the page is made again from the runs in --out. --SECTION.KEY VALUE sets a key of every recipe. "
    "The same command again goes on where it stopped."
)


def compare(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The runs and the page, leaderboard.html.")] = Path(
        "runs/compare"
    ),
    data: Annotated[
        Path | None, typer.Option(metavar="SET", help="The real pictures, for training and measuring. (avatars)")
    ] = None,
    images: Annotated[int | None, typer.Option(metavar="N", help="The budget: images shown, the same for all.")] = None,
    minutes: Annotated[float | None, typer.Option(metavar="M", help="Or: minutes of training on this machine.")] = None,
    seeds: Annotated[int, typer.Option(metavar="K", help="Trainings of each recipe.")] = 1,
    features: Annotated[
        str, typer.Option(metavar="A,B", help="Feature extractors; the first one ranks. (efficientnet)")
    ] = "",
    count: Annotated[int, typer.Option(metavar="N", help="Pictures drawn from each model.")] = 10_000,
) -> None:
    """Train recipes, or take RUNS, under one budget and rank them: [dim]compare dcgan wgan-gp --images 50000[/]."""
    from kaogan.config.recipe import Recipe
    from kaogan.evaluation.compare import Budget
    from kaogan.evaluation.compare import compare as run
    from kaogan.evaluation.leaderboard import write_leaderboard

    subjects, pairs = sort_many(context)
    refuse_misspelt(context, pairs, set(Recipe.model_fields))
    budget = None if images is None and minutes is None else Budget(images, minutes)
    with progress_report("comparing") as report:
        entries = run(
            subjects, data, out, budget=budget, seeds=seeds, features=split_list(features) or [DEFAULT_FEATURES],
            count=count, overrides=parse_overrides(pairs), report=report,
        )  # fmt: skip
    path = write_leaderboard(entries, out / "leaderboard.html")
    console.print(escape(f"The leaderboard: {path}"), soft_wrap=True)


def sort_many(context: typer.Context) -> tuple[list[str], dict[str, str]]:
    """The plain words and the ``--key value`` pairs of a call."""
    plain: list[str] = []
    pairs: dict[str, str] = {}
    left = iter(context.args)
    for word in left:
        if not word.startswith("--"):
            plain.append(word)
            continue
        key, equals, value = word.removeprefix("--").partition("=")
        try:
            pairs[key] = value if equals else next(left)
        except StopIteration:
            refuse_misspelt(context, [key])
            raise UsageError(f"--{key} needs a value") from None
    return plain, pairs
