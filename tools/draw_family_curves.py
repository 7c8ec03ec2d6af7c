"""The curves of docs/explanation/families: a picture for each command that stands on a line of its own there.

python -m tools.draw_family_curves --train --sets DIR   run the trainings first (they resume), then draw
python -m tools.draw_family_curves --runs DIR           only draw, from the runs there are
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.figure import Figure
from PIL import Image

from kaogan.core.atomic_io import atomic
from kaogan.training.plots import attribute_figure, loss_figure, read_stats, thin

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "explanation" / "families"
WIDTH = 1000  # px of a picture
GRIDS = 4


def main(
    train: Annotated[bool, typer.Option("--train", help="Run the trainings first.")] = False,
    runs: Annotated[Path, typer.Option(help="Where the runs are.")] = ROOT / "runs" / "families",
    sets: Annotated[Path, typer.Option(help="Where the sets of pictures are.")] = Path(),
) -> None:
    for page, name, command in commands():
        if train:
            words = [str(sets.resolve() / word) if word.endswith(".zip") else word for word in command.split()]
            subprocess.run([sys.executable, "-m", "kaogan", *words, "--out", str(runs / name)], cwd=ROOT, check=True)
        if (runs / name / "model").exists():
            draw(runs / name, PAGES / "curves" / f"{name}.webp")
            show(page, name, command)
        else:
            print(f"{name}: no finished run in {runs}, left as it is")


def commands() -> Iterator[tuple[Path, str, str]]:
    """(page, recipe, the words behind ``kaogan``) of each run whose curves a page shows or is to show."""
    for page in sorted(PAGES.glob("*.md")):
        for command in re.findall(r"^`kaogan (train [^`]+)`$", page.read_text(encoding="utf-8"), re.MULTILINE):
            yield page, command.split()[1], command


def show(page: Path, name: str, command: str) -> None:
    """The picture above its command, where the page has not got it yet."""
    text = page.read_text(encoding="utf-8")
    if f"(curves/{name}.webp)" not in text:
        picture = f"![losses and pictures of a run of {name}](curves/{name}.webp)"
        page.write_text(text.replace(f"`kaogan {command}`", f"{picture}\n\n`kaogan {command}`"), encoding="utf-8")


def draw(run: Path, path: Path) -> None:
    """Losses and scores, losses of the attributes if there are some, and the same latents along the run."""
    stats = read_stats(run / "stats.jsonl")
    figures = [loss_figure(stats, run.name), attribute_figure(stats, ""), grids_figure(run / "grids")]
    parts = [pixels(figure) for figure in figures if figure is not None]
    sheet = Image.fromarray(np.concatenate(parts))
    sheet = sheet.resize((WIDTH, round(sheet.height * WIDTH / sheet.width)), Image.Resampling.LANCZOS)
    with atomic(path) as temporary:
        sheet.save(temporary, "WEBP", quality=50, method=6)


def grids_figure(folder: Path) -> Figure:
    grids = thin(sorted(folder.glob("*.png"))[1:], GRIDS)
    figure = Figure(figsize=(12, 12 / max(1, len(grids)) + 0.4), layout="constrained")
    for axes, grid in zip(np.atleast_1d(figure.subplots(1, len(grids))), grids, strict=True):
        axes.imshow(Image.open(grid).convert("RGB"), interpolation="nearest")
        axes.set_title(f"{int(grid.stem):,} images", fontsize=10)
        axes.axis("off")
    return figure


def pixels(figure: Figure) -> np.ndarray:
    """The figure as uint8 (H, 1200, 3)."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return np.asarray(Image.open(file).convert("RGB"))


if __name__ == "__main__":
    typer.run(main)
