"""Trackers of experiments, with modules of their names that only note what they are told."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kaogan.core.errors import UsageError
from kaogan.training.trackers import Tracker
from tests.training.runs import stats_of, train

Calls = list[tuple[str, tuple[Any, ...], dict[str, Any]]]


def pretend(monkeypatch: pytest.MonkeyPatch, name: str, functions: str, broken: str = "") -> Calls:
    calls: Calls = []
    module = ModuleType(name)

    def noting(function: str) -> Any:
        def call(*arguments: Any, **keywords: Any) -> None:
            if function == broken:
                raise ConnectionError("no server")
            calls.append((function, arguments, keywords))

        return call

    for function in functions.split():
        setattr(module, function, noting(function))
    monkeypatch.setitem(sys.modules, name, module)
    return calls


WANDB, MLFLOW = "init log finish", "set_experiment start_run log_params log_metrics end_run"


@pytest.mark.parametrize(
    ("name", "functions"), [("wandb", WANDB), ("trackio", WANDB), ("mlflow", MLFLOW)], ids=lambda value: str(value)[:7]
)
def test_a_run_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None, name: str, functions: str
) -> None:
    calls = pretend(monkeypatch, name, functions)
    train(tmp_path / "run", images=16, track=name)
    begun, ended = functions.split()[0], functions.split()[-1]
    assert calls[0][0] == begun and calls[-1] == (ended, (), {})
    numbers = [call for call in calls if call[0] in ("log", "log_metrics")]
    assert [call[2]["step"] for call in numbers] == [8, 16]
    for (_, (stats,), _), line in zip(numbers, stats_of(tmp_path / "run"), strict=True):
        assert stats["loss_d"] == line["loss_d"]
    (settings,) = [call for call in calls if call[0] in ("init", "log_params")]
    told = settings[2]["config"] if settings[0] == "init" else settings[1][0]
    assert str(told["training.batch_size"]) == "8"


def test_a_failing_tracker_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    calls = pretend(monkeypatch, "wandb", WANDB, broken="log")
    assert train(tmp_path / "run", images=16, track="wandb").finished
    assert [call[0] for call in calls] == ["init"]
    assert (tmp_path / "run/log.txt").read_text().count("tracking by wandb failed and is off from here on") == 1


def test_a_tracker_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(UsageError, match="--track trackio needs the package trackio: pip install trackio"):
        train(tmp_path / "run", track="trackio")
    with pytest.raises(UsageError, match=r"unknown tracker 'wandbb' \(did you mean 'wandb'\?\)"):
        Tracker("wandbb")
    assert not (tmp_path / "run").exists()
