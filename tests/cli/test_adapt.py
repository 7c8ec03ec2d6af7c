"""The command ``kaogan adapt``."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaogan.adaptation import report
from kaogan.core.distributed import Processes
from kaogan.training import evaluator, plots
from tests.adaptation.test_adapt import TINY, write_pictures
from tests.cli.conftest import Run
from tests.training.runs import train
from tests.training.test_evaluator import Quarters


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(plots, "film", lambda *_: None)
    monkeypatch.setattr(report, "DRAWN", 40)
    for module in (evaluator, report):
        monkeypatch.setattr(module, "load_extractor", lambda word, **_: Quarters())
    monkeypatch.setenv("KAOGAN_CACHE", str(tmp_path / "cache"))
    train(tmp_path / "base", images=16)
    return tmp_path / "base"


def test_it_trains_measures_and_says_what_is_where(run: Run, base: Path, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "data", 20)
    words = [word for key, value in TINY.items() for word in (f"--{key}", value)]
    said = run("adapt", base, "--data", data, "--out", "mine", *words)
    assert said.code == 0, said.err
    assert "20 pictures from" in said.out and "kernel distance to held-out pictures" in said.out
    assert "adapt.html" in said.out and "kaogan sample mine" in said.out
    assert (tmp_path / "mine/adapt.html").is_file()


def test_mistakes_are_one_line(run: Run, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run("adapt", base, "--data", write_pictures(tmp_path / "data", 3))
    assert said.code == 2 and said.err.count("\n") == 1 and "has 3 pictures" in said.err
    said = run("adapt", "kao-sr", "--data", tmp_path / "data")
    assert said.code == 2 and "is an upscaler" in said.err
    monkeypatch.setattr("kaogan.core.distributed.join", lambda: Processes(0, 2))
    said = run("adapt", base, "--data", tmp_path / "data")
    assert (
        said.code == 2 and said.err == "kaogan: kaogan adapt runs in one process: start it without torchrun or srun\n"
    )
    assert not (tmp_path / "runs").exists()
