"""The leaderboard: recipes at equal minutes of one core, judged by a network that none of them has seen.

``python -m benchmarks.leaderboard --data SET --out DIR ROW... --marks 15,45`` trains each row of leaderboard.yaml to
its marks, keeps the averaged generator of each as DIR/SET-ROW-SEED-MARK, measures it (2,000 samples against SET), and
appends what it found to DIR/leaderboard.jsonl. The same command goes on where it was. Eyes are counted by ``python -m
benchmarks.blind_count``. ``--table`` prints the log of the repository, as in docs/results/classics.md, or the ``--log``
that is given.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import torch

from benchmarks.search import cell, load_trial, rows, train_to_marks
from kaogan import api
from kaogan.config import recipes
from kaogan.evaluation.runner import evaluate

HERE = Path(__file__).parent
BOARD, LOG = HERE / "leaderboard.yaml", HERE / "leaderboard.jsonl"
SAMPLES = 2_000
METRICS = ("fid", "precision", "fixed_share")
COLUMNS = {
    "fid/efficientnet": "FD-EfficientNet",
    "precision/efficientnet": "precision",
    "recall/efficientnet": "recall",
    "fixed_share": "fixed share",
}


def run_row(name: str, data: Path, out: Path, marks: list[float], seed: int) -> None:
    """Train a row to each mark, in minutes of one core, keep its model and measure it."""
    base, settings = load_trial(name, BOARD)
    recipe = recipes.load(base, {"images": 10_000_000, "run.latent_filter": False, "run.seed": seed} | settings)
    pictures = api.load_data(recipe, data)
    folder = out / f"{data.stem}-{name}-{seed}"

    def measured(mark: float) -> dict[str, list[float]]:
        kept = folder.with_name(f"{folder.name}-{mark:g}")
        shutil.copytree(folder / "model", kept, dirs_exist_ok=True)
        return measure(kept, data)

    row = {"row": name, "data": data.stem, "seed": seed}
    train_to_marks(row, marks, recipe, pictures, folder, out / LOG.name, measured)


def measure(model: Path, data: Path) -> dict[str, list[float]]:
    """[value, low, high] by the names of COLUMNS."""
    (result,) = evaluate([model], data, metrics=METRICS, features=("efficientnet",), count=SAMPLES)
    estimates = {key: result.rows[key].estimate for key in COLUMNS}
    return {key: [round(each.value, 4), round(each.low, 4), round(each.high, 4)] for key, each in estimates.items()}


def table(log: Path) -> str:
    """The rows as Markdown, a table for each set, by minutes and then by distance."""
    lines: list[str] = []
    found = rows(log)
    for data in dict.fromkeys(row["data"] for row in found):
        lines += [f"| {data} | minutes | images | {' | '.join(COLUMNS.values())} |", "|---" * (3 + len(COLUMNS)) + "|"]
        of_set = [row for row in found if row["data"] == data]
        for row in sorted(of_set, key=lambda row: (row["mark"], row["fid/efficientnet"][0])):
            lines.append(f"| {' | '.join(cells(row))} |")
        lines.append("")
    return "\n".join(lines)


def cells(row: dict[str, Any]) -> list[str]:
    name = row["row"] if not row["seed"] else f"{row['row']}, seed {row['seed']}"
    return [name, f"{row['mark']:g}", f"{row['images']:,}", *(cell(row[column]) for column in COLUMNS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--data", type=Path, help="the set that is trained on and compared with")
    parser.add_argument("--out", type=Path, default=Path("runs/leaderboard"))
    parser.add_argument("--marks", default="15,45", help="minutes of one core")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, default=LOG, help="what --table shows")
    parser.add_argument("--table", action="store_true", help="only print the log as Markdown")
    chosen = parser.parse_args()
    if chosen.table:
        print(table(chosen.log))
        return
    if chosen.data is None or not chosen.rows:
        parser.error("name a set, --data SET, and rows of benchmarks/leaderboard.yaml")
    torch.set_num_threads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name in chosen.rows:
        run_row(name, chosen.data, chosen.out, [float(mark) for mark in chosen.marks.split(",")], chosen.seed)


if __name__ == "__main__":
    main()
