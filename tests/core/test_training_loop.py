"""The loop around every training: events by the clock, and by the time on a card."""

from __future__ import annotations

import errno
import logging
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kaogan.core import checkpoint
from kaogan.core.checkpoint import CheckpointWriter
from kaogan.core.errors import KaoganError
from kaogan.core.interruption import interruptible
from kaogan.core.resume import resume
from kaogan.core.training_loop import Intervals, TrainingLoop


class Counting:
    """A state of one weight."""

    def __init__(self) -> None:
        self.images_seen, self.seconds, self.weight = 0, 0.0, torch.zeros(3)

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {"weight": self.weight}, {"clock": self.images_seen}

    def load_state_dict(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        self.weight, self.images_seen = tensors["weight"], numbers["clock"]

    def networks(self) -> list[nn.Module]:
        return [nn.Linear(1, 1)]


class Loop(TrainingLoop):
    events: list[tuple[str, int]]

    def step(self) -> None:
        self.state.weight += self.state.images_seen + 1  # type: ignore[attr-defined]

    def report(self, stats: dict[str, float]) -> None:
        self.events.append(("report", self.state.images_seen))

    def snapshot(self) -> None:
        self.events.append(("snapshot", self.state.images_seen))


def run(folder: Path, share: float, images: int = 16) -> Loop:
    state = Counting()
    loop = Loop(state, images, 2, Intervals(4, 4, 4), folder, folder, logging.getLogger("test"), share=share)
    loop.events = []
    loop.run(bool(resume(state, folder)))
    return loop


def newest(folder: Path) -> tuple[list[float], dict[str, Any]]:
    tensors, numbers = checkpoint.load(checkpoint.find(folder)[-1])
    return tensors["weight"].tolist(), numbers


def test_what_takes_more_than_its_share_waits_and_changes_nothing(tmp_path: Path) -> None:
    by_clock, by_time = run(tmp_path / "clock", math.inf), run(tmp_path / "time", 0.0)
    every = [0, 4, 8, 12, 16]
    assert [clock for kind, clock in by_clock.events if kind == "snapshot"] == every
    assert [clock for kind, clock in by_clock.events if kind == "report"] == every[1:]
    # The first of a kind comes, then none is within the share, and at the end all come.
    assert [clock for kind, clock in by_time.events if kind == "snapshot"] == [0, 16]
    assert [clock for kind, clock in by_time.events if kind == "report"] == [4, 16]
    assert [path.name[-6 - 12 : -12] for path in checkpoint.find(tmp_path / "time")] == ["000004", "000016"]
    assert newest(tmp_path / "clock") == newest(tmp_path / "time")


def test_a_run_goes_on_from_what_the_thread_wrote(tmp_path: Path) -> None:
    run(tmp_path / "two", 1e9, images=8)
    run(tmp_path / "two", 1e9)
    run(tmp_path / "one", math.inf)
    assert newest(tmp_path / "two") == newest(tmp_path / "one")


def test_the_writer_takes_a_copy_and_tells_of_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.ones(2)
    with CheckpointWriter(aside=True) as writer:
        for clock in (8, 16, 24):
            writer.write(tmp_path, {"weight": weight}, {"clock": clock}, 2, 0)
            weight += 1
    assert [checkpoint.load(path)[0]["weight"].tolist() for path in checkpoint.find(tmp_path)] == [[2, 2], [3, 3]]

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(KaoganError, match="the disk is full") as caught, CheckpointWriter(aside=True) as writer:
        writer.write(tmp_path, {"weight": weight}, {"clock": 32}, 2, 0)
    assert "\n" not in str(caught.value) and len(list(tmp_path.iterdir())) == 2
    with pytest.raises(ValueError, match="its own"), CheckpointWriter(aside=True) as writer:
        writer.write(tmp_path, {"weight": weight}, {"clock": 32}, 2, 0)
        raise ValueError("its own")


@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="no signals")
def test_ctrl_break_of_windows_is_collected_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR2, raising=False)
    with interruptible() as caught:
        assert callable(signal.getsignal(signal.SIGUSR2)), "or it would end the tests"
        signal.raise_signal(signal.SIGUSR2)
    assert caught == [signal.SIGUSR2]
