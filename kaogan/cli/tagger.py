"""``kaogan tagger``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from kaogan.cli._console import console, print_table, progress_bar
from kaogan.core.errors import UsageError

app = typer.Typer(help="Hair and eye colours of faces: tag pictures, or train the tagger anew.", no_args_is_help=True)

Weights = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A tagger that 'tagger train' wrote.", show_default="the built-in one"),
]


@app.command("tag")
def tag(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURES...", help="Pictures of faces, folders or zips.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a CSV instead of printing.")] = None,
    weights: Weights = None,
) -> None:
    """Print hair and eye colours with their probabilities, and whether each picture is a face and a whole one.

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


@app.command("train")
def train(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder with the four zips (see docs/tagger.md).")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Checkpoints, the tagger and its figures.")] = Path(
        "runs/tagger"
    ),
    seed: Annotated[int, typer.Option(metavar="K", help="Of weights, examples and corruptions.")] = 0,
) -> None:
    """Train the tagger from the picture sets and measure it on their held-out parts.

    Stopped, it goes on where it was when the same command is given again.
    """
    import time

    from tools.tagger import build
    from tools.tagger.training import Settings, Step

    said = time.monotonic()
    with progress_bar("reading") as update:

        def shown(step: Step) -> None:
            nonlocal said
            losses = "  ".join(f"{name} {value:.2f}" for name, value in step.losses.items())
            update(min(step.clock, step.total), step.total, f"training  {losses}")
            if not console.is_terminal and time.monotonic() - said > 15:
                rate = f"{step.images_per_second:.0f}/s"
                console.print(f"{step.clock:>9,} of {step.total:,}  {losses}  {rate}", soft_wrap=True)
                said = time.monotonic()

        figures = build.build(data, out, Settings(seed=seed), update, shown)
    _print_figures(figures)
    console.print(
        escape(f"The tagger is {out / build.WEIGHTS}, all figures are in {out / build.FIGURES}."), soft_wrap=True
    )


def _print_figures(figures: dict[str, Any]) -> None:
    from rich.table import Table

    from tools.tagger.build import MEASURED

    table = Table("held-out part", "attribute", "pictures", "top-1", "top-3", "calibration error", box=None)
    for name in MEASURED:
        for attribute, figure in figures[name].items():
            shares = (f"{figure[key]:.3f}" for key in ("top1", "top3", "calibration_error"))
            table.add_row(name, attribute, f"{figure['count']:,}", *shares)
    print_table(table)
