"""The leaderboard: its rows are recipes that exist, and its log becomes a table by minutes and distance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import leaderboard, search
from benchmarks.search import cell, load_trial, rows
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


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set of eight, and a board with the one row ``small``."""
    (tmp_path / "board.yaml").write_text(yaml.safe_dump({"small": {"base": "dcgan", "set": TINY}}))
    monkeypatch.setattr(leaderboard, "BOARD", tmp_path / "board.yaml")
    write_set(tmp_path / "faces", 8, 16)
    return tmp_path / "faces"


def test_a_row_goes_on_to_its_next_mark_and_keeps_each(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaderboard, "measure", lambda model, data: {"of": [float((model / "config.json").exists())]})
    leaderboard.run_row("small", faces, tmp_path, [1e-6], 0)
    later = float((tmp_path / "faces-small-0.seconds").read_text()) / 60 + 1e-6
    leaderboard.run_row("small", faces, tmp_path, [later, 1e-6], 0)
    first, second = rows(tmp_path / "leaderboard.jsonl")
    assert (
        first["of"] == second["of"] == [1.0] and first["mark"] < second["mark"] and first["images"] < second["images"]
    )
    assert {path.name for path in tmp_path.glob("faces-small-0-*")} == {f"faces-small-0-{m:g}" for m in (1e-6, later)}
    with pytest.raises(SystemExit, match="is gone"):
        leaderboard.run_row("small", faces, tmp_path, [5e-7], 0)


def test_what_was_trained_and_not_measured_is_measured_at_the_next_start(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(model: Path, data: Path) -> dict[str, list[float]]:
        raise MemoryError

    monkeypatch.setattr(leaderboard, "measure", fails)
    with pytest.raises(MemoryError):
        leaderboard.run_row("small", faces, tmp_path, [1e-6], 0)
    spent = (tmp_path / "faces-small-0.seconds").read_text()
    monkeypatch.setattr(leaderboard, "measure", lambda model, data: {})
    leaderboard.run_row("small", faces, tmp_path, [1e-6], 0)
    (found,) = rows(tmp_path / "leaderboard.jsonl")
    assert (tmp_path / "faces-small-0.seconds").read_text() == spent and found["seconds"] == round(float(spent))


def test_numbers_of_a_table() -> None:
    assert cell([999.7, 900, 1100]) == "1,000 ± 100" and cell([0.01234, 0.01, 0.0144]) == "0.0123 ± 0.0022"
    assert cell([1225.77, 1217.2, 1234.4]) == "1,226 ± 8.6" and cell([3.0]) == "3"


def test_the_log_of_the_repository_has_the_rows_of_the_board() -> None:
    known = yaml.safe_load(leaderboard.BOARD.read_text())
    for each in rows(leaderboard.LOG):
        assert each["row"] in known or each["row"] in recipes.names(), each["row"]
        assert set(leaderboard.COLUMNS) <= set(each)


def test_the_page_shows_the_log() -> None:
    page = (Path(__file__).parent.parent / "docs/results/classics.md").read_text(encoding="utf-8")
    for table in leaderboard.table(leaderboard.LOG).strip().split("\n\n"):
        assert table in page


def test_the_plot_of_the_search_finds_its_numbers() -> None:
    found = rows(search.LOG)
    for panel in search.PANELS:
        assert any(panel in row for row in found), panel
