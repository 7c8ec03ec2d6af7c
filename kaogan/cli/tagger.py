"""The command ``kaogan tagger``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, print_table
from kaogan.core.errors import UsageError

app = typer.Typer(help="Hair and eye colours of faces.", no_args_is_help=True)

Weights = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Other weights, from your own training.", show_default="the built-in one"),
]


@app.command("tag")
def tag(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURES...", help="Pictures of faces, folders or zips.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a CSV instead of printing.")] = None,
    weights: Weights = None,
) -> None:
    """Print hair and eye colours with their probabilities, and whether each picture is an undamaged face.

    The tagger wants cropped faces. Its probabilities are calibrated: of the tags given with 0.8, about four in five are
    right. Face and quality run from 0 to 1.
    """
    from kaogan.aux_models.tagger import load_tagger
    from kaogan.aux_models.tagger.tag_folder import tag_files, write_table

    tagger = load_tagger(weights)
    rows = tag_files(tagger, pictures)
    if out is not None:
        if out.suffix.lower() != ".csv":
            raise UsageError(f"--out {out}: the table is a .csv file")
        count = write_table(out, tagger.values, rows)
        console.print(escape(f"{count:,} pictures tagged in {out}"), soft_wrap=True)
        return
    from rich.table import Table

    table = Table("file", *tagger.values, "face", "quality", box=None, padding=(0, 2, 0, 0))
    for row in rows:
        if row.reason:
            table.add_row(escape(row.file), escape(row.reason))
        else:
            tags = (f"{value} {confidence:.2f}" for value, confidence in row.values.values())
            table.add_row(escape(row.file), *tags, f"{row.face:.2f}", f"{row.quality:.2f}")
    print_table(table)


@app.command(hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train() -> None:
    """Moved: training of the tagger is a tool of the source tree."""
    raise UsageError(
        "training of the tagger is no part of the installed package: in a checkout of kaogan's source, run "
        "python -m tools.tagger --data FOLDER"
    )
