"""Command line of the face detector's training: ``python -m tools.face_detector SETS...``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, progress_bar
from kaogan.cli._run import run_app
from tools.face_detector.dataset import lessons_of
from tools.face_detector.train import Settings
from tools.face_detector.train import train as run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def train(
    sets: Annotated[
        list[Path],
        typer.Argument(
            metavar="SETS...", help="Folders or zips of pictures of one face each; labels.csv: file, x, y, w, h."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where checkpoint and weights go.")] = Path("runs/faces"),
    images: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Length of the first course in composed pictures. (56,000)")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="K", help="Every random draw follows from it.")] = 0,
) -> None:
    """Train the face finder anew on composed pictures. The same command again resumes where it stopped."""
    with progress_bar("reading") as update:
        portraits = lessons_of(sets, update)
    console.print(f"{len(portraits):,} faces to learn from")
    settings = Settings(seed=seed) if images is None else Settings(images=images, second=images // 2, seed=seed)
    shown = time.monotonic()
    with progress_bar("training", settings.images + settings.second) as update:

        def report(done: int, total: int, stats: dict[str, float]) -> None:
            nonlocal shown
            update(done, total)
            if time.monotonic() - shown > 30 or done >= total:
                shown = time.monotonic()
                text = "  ".join(f"{name} {value:.3g}" for name, value in stats.items())
                console.print(f"{done:>9,} of {total:,}  {text}", soft_wrap=True)

        path = run(portraits, out, settings, report)
    console.print(escape(f"Weights in {path}; use them with 'kaogan faces --weights'."))


if __name__ == "__main__":
    run_app(app, "python -m tools.face_detector")
