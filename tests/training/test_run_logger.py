"""The run's logger: what it draws how often."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaogan.training import plots, run_logger
from tests.training.runs import train


@pytest.mark.parametrize(("interval", "expected"), [(0.0, [16, 32, 48]), (1e9, [16, 48])])
def test_plots_are_drawn_at_intervals_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: float, expected: list[int]
) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(plots, "film", lambda *_: None)
    monkeypatch.setattr(plots, "loss_plot", lambda stats, *_: drawn.append(stats[-1]["clock"]))
    monkeypatch.setattr(run_logger, "PLOTS_EVERY", interval)
    train(tmp_path / "run", images=48)
    assert drawn == expected
