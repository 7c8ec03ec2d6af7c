"""The leaderboard: its rows are recipes that exist, and its log becomes a table by minutes and distance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import leaderboard
from benchmarks.search import load_trial, rows
from kaogan.config import recipes
from kaogan.data.avatars import write_set

TINY = {
    "image_size": 16, "latent": {"size": 4}, "generator": {"width": 4}, "discriminator": {"width": 4},
    "training": {"batch_size": 4}, "run": {"stats_every": 8},
}  # fmt: skip


@pytest.mark.parametrize("name", yaml.safe_load(leaderboard.BOARD.read_text()))
def test_each_row_is_a_recipe_with_settings_that_exist(name: str) -> None:
    base, settings = load_trial(name, leaderboard.BOARD)
    assert recipes.load(base, settings).name == base and settings


def row(name: str, mark: float, distance: float, data: str = "a", seed: int = 0) -> dict[str, Any]:
    measured = {column: [distance, distance - 1, distance + 1] for column in leaderboard.COLUMNS}
    return {"row": name, "data": data, "seed": seed, "mark": mark, "seconds": 60 * mark, "images": 1234} | measured


def test_the_table(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    found = [row("dcgan", 45, 5), row("dcgan", 15, 9), row("kao", 15, 3, seed=1), row("acgan", 15, 7, "b")]
    log.write_text("\n".join(map(json.dumps, found)))
    first, second = leaderboard.table(log).strip().split("\n\n")
    assert [line.split(" | ")[0] for line in first.splitlines()[2:]] == ["| kao, seed 1", "| dcgan", "| dcgan"]
    assert "| 15 | 1,234 | 9 ± 1 |" in first and second.startswith("| b | minutes |")


def test_a_row_goes_on_to_its_next_mark_and_keeps_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = {"small": {"base": "dcgan", "set": TINY}}
    (tmp_path / "board.yaml").write_text(yaml.safe_dump(board))
    write_set(tmp_path / "faces", 8, 16)
    monkeypatch.setattr(leaderboard, "BOARD", tmp_path / "board.yaml")
    monkeypatch.setattr(leaderboard, "measure", lambda model, data: {"of": [float((model / "config.json").exists())]})
    for marks in ([1e-6], [1e-6, 2e-6]):
        leaderboard.run_row("small", tmp_path / "faces", tmp_path, marks, 0)
    first, second = rows(tmp_path / "leaderboard.jsonl")
    assert (
        first["of"] == second["of"] == [1.0] and first["mark"] < second["mark"] and first["images"] < second["images"]
    )
    assert sorted(path.name for path in tmp_path.glob("small-0-*")) == ["small-0-1e-06", "small-0-2e-06"]


def test_the_log_of_the_repository_has_the_rows_of_the_board() -> None:
    known = yaml.safe_load(leaderboard.BOARD.read_text())
    for each in rows(leaderboard.LOG):
        assert each["row"] in known or each["row"] in recipes.names(), each["row"]
        assert set(leaderboard.COLUMNS) <= set(each)
