"""The run's logger: what it draws how often."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


def test_grids_of_large_pictures_are_drawn_in_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [run_logger.sampling_batch(side) for side in (16, 64, 128, 256, 512, 2048)]
    assert sizes == [64, 64, 64, 16, 4, 1]
    grids = []
    for name, size in (("whole", 64), ("parts", 3)):
        monkeypatch.setattr(run_logger, "sampling_batch", lambda _, size=size: size)
        train(tmp_path / name, images=16)
        grids.append(np.asarray(Image.open(tmp_path / name / "grids/000000016.png"), int))
    assert grids[0].std() > 0 and np.abs(grids[0] - grids[1]).max() <= 1
