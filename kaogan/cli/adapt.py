"""``kaogan adapt``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, parse_overrides, progress_report, refuse_misspelt, sort_words

EPILOG = "The same command again resumes exactly where it stopped."


def adapt(
    context: typer.Context,
    base: Annotated[str, typer.Argument(help="A model, a run or a name of 'kaogan models', e.g. kao.")],
    data: Annotated[
        Path, typer.Option(metavar="PATH", help="10 to 1,000 pictures of faces in your style: a folder, zip or tar.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The run's folder.")] = Path("runs/adapt"),
    images: Annotated[int | None, typer.Option(metavar="N", help="At most so many pictures are shown.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="K", help="Every random draw follows from it.")] = None,
    device: Annotated[str | None, typer.Option(metavar="D", help="auto, cpu, cuda or mps.")] = None,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Resume although the settings have changed.")
    ] = False,
) -> None:
    """Teach a trained generator the style of a few pictures. [dim]--SECTION.KEY VALUE[/] sets any key of the recipe."""
    from kaogan.adaptation.report import summary
    from kaogan.adaptation.run import finish, prepare
    from kaogan.cli._train_progress import tell_files, train_with_bar
    from kaogan.config import recipes
    from kaogan.config.recipe import Recipe
    from kaogan.core.distributed import join
    from kaogan.core.errors import UsageError

    if join().count > 1:  # every one of them would write the model
        raise UsageError("kaogan adapt runs in one process: start it without torchrun or srun")
    _, words = sort_words(context, base)
    refuse_misspelt(context, words, {*Recipe.model_fields, *recipes.SHORTHANDS})
    overrides = parse_overrides(words)
    overrides |= {
        key: value for key, value in {"images": images, "seed": seed, "device": device}.items() if value is not None
    }
    with progress_report("reading") as report:
        prepared = prepare(base, data, overrides, report)
    console.print(escape(f"{len(prepared.pictures)} pictures from {data}; {base} is the base"), soft_wrap=True)
    for note in prepared.notes:
        console.print(f"  {escape(note)}", soft_wrap=True)
    outcome = train_with_bar(console, prepared.recipe, prepared.pictures, out, allow_changes)
    if not outcome.finished:
        raise typer.Exit(130)
    with progress_report("measuring") as report:
        found = finish(prepared, out, report)
    console.print(escape(f"{summary(found)}. In {out}:"), soft_wrap=True)
    tell_files(console, outcome)
