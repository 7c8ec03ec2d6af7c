"""The annotated curves of docs/explanation/curves.md, from the statistics that the tests of failures keep.

python -m tools.draw_curves [--out DIR]
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from kaogan.core.picture_files import write_picture
from kaogan.training import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "tests" / "training" / "failure_detector.json"
HEALTHY = "kao, 127,000 images"
FAILING = (
    "bce, the generator's learning rate 0.5",
    "wgan-gp without its penalty",
    "one picture, many times",
    "labels shuffled",
)


def lines_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Columns of statistics, as failure_detector.json keeps them -> lines, as stats.jsonl has them."""
    rows = zip(*columns.values(), strict=True)
    lines = ({key: value for key, value in zip(columns, row, strict=True) if value is not None} for row in rows)
    return [{"loss_g": line.get("adversarial_g"), **line} for line in lines]  # kept once where both are the same


def healthy(lines: list[dict[str, Any]]) -> Figure:
    figure = plots.loss_figure(lines, "A healthy run: kao on faces of 64 px")
    losses, scores = figure.axes
    notes = (
        (losses, 3_000, "loss_g", "at first D tells everything apart;\nG's loss is high", (14_000, 2.3)),
        (
            losses,
            60_000,
            "loss_d",
            "then neither wins: both losses stay\nnear what they are; faces get better",
            (45_000, 1.65),
        ),
        (losses, 100_000, "loss_d", "from here on the tagger learned, too\n(unfreeze_at 90000): a kink", (88_000, 1.9)),
        (scores, 30_000, "real_score", "D(x) and D(G(z)) come nearer:\nfakes are harder to tell", (42_000, 1.5)),
        (scores, 105_000, "fake_score", "never the same: D still\nhas something to say", (92_000, -1.6)),
    )
    for axes, clock, key, text, place in notes:
        clocks, values = plots.series(lines, key)
        target = clock, float(np.interp(clock, clocks, plots.smooth(values)))
        axes.annotate(text, target, place, arrowprops={"arrowstyle": "->", "color": "0.3"}, color="0.2", fontsize=10)
    return figure


def failing(runs: dict[str, Any]) -> Figure:
    """One column for each failure: both losses, and the number that gives it away."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), dpi=100, layout="constrained")
    axes = figure.subplots(2, len(FAILING))
    for column, name in enumerate(FAILING):
        lines, said = lines_of(runs[name]["lines"]), runs[name]["failure"]
        above, below = axes[:, column]
        above.set_title(f"{name}\n{said}", fontsize=10)
        for key, label in (("loss_d", "D's loss"), ("loss_g", "G's loss")):
            above.plot(*plots.series(lines, key), "o-", label=label, markersize=3)
        keys = {
            "labels-at-chance": ("accuracy",),
            "saturated": ("real_saturated", "fake_saturated"),
            "same-pictures": ("real_distance", "fake_distance"),
        }.get(said, ("real_score", "fake_score"))
        for key in keys:
            below.plot(*plots.series(lines, key), "o-", label=key, markersize=3)
        if "score" not in keys[0]:
            below.set_ylim(-0.02, 1.02 if "distance" not in keys[0] else 0.2)
        for part in (above, below):
            part.legend(frameon=False, fontsize=9)
            part.spines[["top", "right"]].set_visible(False)
        below.set_xlabel("images shown")
    return figure


def save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_picture(np.asarray(Image.open(buffer).convert("RGB")), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "explanation")
    out = parser.parse_args().out
    runs = json.loads(RUNS.read_text(encoding="utf-8"))
    save(healthy(lines_of(runs[HEALTHY]["lines"])), out / "curves.webp")
    save(failing(runs), out / "curves-failing.webp")


if __name__ == "__main__":
    main()
