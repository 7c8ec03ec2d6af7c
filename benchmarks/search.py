"""The search for the recipe ``kao``: recipes at equal time, by the processor's clock, so that other work counts little.

``python -m benchmarks.search --data SET --out DIR TRIAL...`` trains each trial of search.yaml to its marks, in minutes
of one core, measures the averaged generator at each, and appends a row to DIR/search.jsonl. The same command goes on
where it was. ``python -m benchmarks.search --table`` prints benchmarks/search.jsonl, as in docs/results/kao-log.md;
``--plot FILE`` draws its recipes against minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks import SET_FOLDER
from kaogan import api
from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.atomic_io import write_text
from kaogan.core.training_loop import TrainProgress
from kaogan.data import PictureSet
from kaogan.evaluation.runner import evaluate
from kaogan.metrics.registry import current_key
from kaogan.training.plots import COLOURS

SAMPLES = {"tagger": 5_000, "mobilenet": 5_000}
EARLY = SAMPLES | {"mobilenet": 2_000}  # 50 pictures a second
HERE = Path(__file__).parent
TRIALS, LOG = HERE / "search.yaml", HERE / "search.jsonl"
COLUMNS = ("fid/tagger", "fid/mobilenet", "precision/tagger", "recall/tagger")
KAO = "u1-smooth"  # what became the recipe
CURVES = (KAO, "dcgan", "resdcgan", "bamsgan", "wgan-gp")
# Of the distances those at infinitely many samples: 2,000 and 5,000 samples can stand in one curve.
PANELS = {
    "fid_infinite/tagger": "FD, tagger",
    "fid_infinite/mobilenet": "FD, mobilenet",
    "recall/tagger": "recall, tagger",
}


def load_trial(name: str, trials: Path = TRIALS) -> tuple[str, dict[str, Any]]:
    """The recipe that a trial is based on, and what it sets otherwise; ``base`` names another trial or a recipe."""
    written = yaml.safe_load(trials.read_text())
    if name not in written:
        return name, {}
    base = written[name]["base"]
    recipe, inherited = load_trial(base, trials) if base != name else (name, {})
    return recipe, inherited | recipes.flatten(written[name].get("set", {}))


def run_trial(name: str, data: Path, out: Path, marks: list[float], seed: int, settled: float) -> None:
    """Train to each of ``marks`` (minutes), measuring there: with all samples from ``settled`` minutes on."""
    base, settings = load_trial(name)
    often = {"images": 10_000_000, "run.grid_every": 20_000, "run.stats_every": 256, "run.seed": seed}
    recipe = recipes.load(base, often | settings)
    pictures = api.load_data(recipe, data)
    folder = out / f"{name}-{seed}"
    train_to_marks(
        {"trial": name, "seed": seed}, marks, recipe, pictures, folder, out / "search.jsonl",
        lambda mark: measure(folder, data, SAMPLES if mark >= settled else EARLY),
    )  # fmt: skip


def train_to_marks(
    row: dict[str, Any], marks: list[float], recipe: Recipe, pictures: PictureSet, folder: Path, log: Path,
    measured: Callable[[float], dict[str, list[float]]],
) -> None:  # fmt: skip
    """Train in ``folder`` to each of ``marks``, in minutes of processor time, and append ``row`` with what is
    ``measured`` there to the log. It goes on where it was; an interrupted training gets no row until it is at its mark.
    (Minutes of a process that was killed are not counted.)"""
    known = {line["mark"]: line["seconds"] for line in rows(log) if row.items() <= line.items()}
    clock = folder.with_name(f"{folder.name}.seconds")
    spent = float(clock.read_text()) if clock.exists() else max(known.values(), default=0.0)
    for mark in sorted(set(marks) - set(known)):
        if any(mark < later for later in known):
            sys.exit(f"{folder} is {spent / 60:.1f} minutes old: its model of {mark:g} minutes is gone")
        if spent < 60 * mark:
            began = time.process_time()
            alarm = Alarm(began + 60 * mark - spent)
            api.run(recipe, pictures, folder, on_progress=alarm)
            spent += time.process_time() - began
            write_text(clock, f"{spent:.1f}\n")
            if not alarm.rung:
                return
        images = json.loads((folder / "model" / "config.json").read_text())["clock"]
        line = row | {"mark": mark, "seconds": round(spent), "images": images} | measured(mark)
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


class Alarm:
    """Ends a training, as Ctrl-C does, once the process has used ``end`` seconds of processor time."""

    def __init__(self, end: float) -> None:
        self.end, self.rung = end, False  # a second Ctrl-C would be obeyed at once

    def __call__(self, progress: TrainProgress) -> None:
        if time.process_time() >= self.end and not self.rung:
            self.rung = True
            os.kill(os.getpid(), signal.SIGINT)


def measure(folder: Path, data: Path, samples: dict[str, int]) -> dict[str, list[float]]:
    """[value, low, high] by the names of metrics and features."""
    found = {}
    for extractor, count in samples.items():
        (result,) = evaluate([folder], data, metrics=("fid", "precision"), features=(extractor,), count=count)
        for key, measured in result.rows.items():
            estimate = measured.estimate
            found[key] = [round(value, 4) for value in (estimate.value, estimate.low, estimate.high)]
    return found


def rows(log: Path) -> list[dict[str, Any]]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [{current_key(key): value for key, value in json.loads(line).items()} for line in lines]


def table(log: Path) -> str:
    """The rows as Markdown, in the order in which they were made."""
    lines = [
        f"| trial | seed | minutes | images | {' | '.join(COLUMNS)} |",
        "|---|---|---|---|" + "---|" * len(COLUMNS),
    ]
    for row in rows(log):
        cells = [row["trial"], str(row["seed"]), f"{row['mark']:g}", f"{row['images']:,}"]
        cells += [cell(row.get(column, [])) for column in COLUMNS]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(measured: list[float]) -> str:
    """[value, low, high] as "value ± half the interval"; rows of the first hours have the value alone."""
    if len(measured) < 3:
        return "".join(map(_short, measured))
    value, low, high = measured
    return f"{_short(value)} ± {_short((high - low) / 2, 2)}"


def _short(value: float, digits: int = 3) -> str:
    """With so many digits, and never as a power of ten."""
    return f"{value:,.0f}" if value >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def plot(log: Path, target: Path) -> None:
    """A panel for each of PANELS: a recipe is a colour, a seed a line."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    for axes, (column, title) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for trial, colour in zip(CURVES, COLOURS, strict=False):
            measured = [row for row in rows(log) if row["trial"] == trial and column in row]
            for seed in sorted({row["seed"] for row in measured}):
                points = sorted((row["mark"], row[column][0]) for row in measured if row["seed"] == seed)
                label = "kao" if trial == KAO else trial
                axes.plot(*zip(*points, strict=True), "o-", color=colour, label=label if seed == 0 else None)
        axes.set(title=title, xlabel="minutes of one core", xscale="log", xticks=(5, 15, 30, 60, 120))
        if column.startswith("fid"):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", nargs="*")
    parser.add_argument("--data", type=Path, default=SET_FOLDER / "getchu64_12k.zip")
    parser.add_argument("--out", type=Path, default=Path("runs/search"))
    parser.add_argument("--marks", default="5,15", help="minutes of one core")
    parser.add_argument("--settled", type=float, default=15, help="minutes from which mobilenet sees all samples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--log", type=Path, default=LOG, help="what --table and --plot show; benchmarks/gamma.jsonl: R3GAN's"
    )
    parser.add_argument("--table", action="store_true", help="only print the log as Markdown")
    parser.add_argument("--plot", type=Path, help="only draw the log into this SVG or PNG")
    chosen = parser.parse_args()
    if chosen.table:
        print(table(chosen.log))
    if chosen.plot:
        plot(chosen.log, chosen.plot)
    if chosen.table or chosen.plot:
        return
    torch.set_num_threads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    marks = [float(mark) for mark in chosen.marks.split(",")]
    for name in chosen.trials:
        run_trial(name, chosen.data, chosen.out, marks, chosen.seed, chosen.settled)


if __name__ == "__main__":
    main()
