"""Command line of the tagger's training: ``python -m tools.tagger --data FOLDER``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from kaogan.cli._console import console, print_table, progress_bar
from kaogan.cli._run import run_app
from tools.tagger import build
from tools.tagger.training import Settings, Step

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train(
    data: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The folder with the four zips (see docs/results/tagger.md).")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Checkpoints, the tagger and its figures.")] = Path(
        "runs/tagger"
    ),
    seed: Annotated[int, typer.Option(metavar="K", help="Of weights, examples and corruptions.")] = 0,
) -> None:
    """Train the tagger from the picture sets and measure it on their held-out parts.

    Stopped, it goes on where it was when the same command is given again.
    """
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
    table = Table("held-out part", "attribute", "pictures", "top-1", "top-3", "calibration error", box=None)
    for name in build.MEASURED:
        for attribute, figure in figures[name].items():
            shares = (f"{figure[key]:.3f}" for key in ("top1", "top3", "calibration_error"))
            table.add_row(name, attribute, f"{figure['count']:,}", *shares)
    print_table(table)


if __name__ == "__main__":
    run_app(app, "python -m tools.tagger")
