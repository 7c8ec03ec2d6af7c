"""The loop of every training: the schedule of events, the guard against NaN, progress.

A training says how one step is taken and what its checkpoint holds; ``TrainingLoop.run`` is the loop around it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from kaogan.core import checkpoint
from kaogan.core.checkpoint import CheckpointWriter
from kaogan.core.distributed import ALONE, Processes
from kaogan.core.errors import KaoganError
from kaogan.core.interruption import ignore_stop, interruptible
from kaogan.core.meters import Meters, Pace, crosses_multiple

EVENTS = ("report", "snapshot", "checkpoint")


class State(Protocol):
    """Everything that training changes: what a checkpoint holds."""

    images_seen: int
    """The clock: training images shown since the first step."""
    seconds: float
    """Time spent training, over all sessions."""

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Flat named tensors, and plain numbers with ``images_seen`` as "clock"."""

    def load_state_dict(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Raises ValueError or KeyError when they are those of another training."""

    def networks(self) -> Sequence[nn.Module]:
        """Those whose weights must stay finite."""


@dataclass(frozen=True)
class TrainProgress:
    """What the caller may show: images shown of how many, means since the last report, images per second."""

    images_seen: int
    total: int
    stats: dict[str, float]
    warning: str = ""
    """One line about what goes wrong, empty while nothing does."""


@dataclass(frozen=True)
class TrainResult:
    images_seen: int
    finished: bool
    """False after an interruption: the same call goes on."""
    seconds: float
    """Of this session."""
    path: Path
    warning: str = ""
    """What goes wrong at the end of it."""
    out_of_time: bool = False
    """Whether it was the time it was given that ended the session."""
    began_at: int = 0
    """The clock at the beginning of this session."""
    latent_filter: str = ""
    """One line about the filter that was fitted at the end, if any."""


OnProgress = Callable[[TrainProgress], None]


def no_train_progress(progress: TrainProgress) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Intervals:
    """Images shown between two events of a kind. At the end of a session all of them happen."""

    report: int
    checkpoint: int
    snapshot: int = 0
    """0: at the end only."""
    keep_last: int = 2
    keep_every: int = 0
    """Checkpoints that stay: the last ones, and the first at or after each multiple of this."""


@dataclass
class TrainingLoop(ABC):
    """One training. Subclasses say what a step, a report, a snapshot and a model are."""

    state: State
    images: int
    """Length of the training, in images shown."""
    batch_size: int
    intervals: Intervals
    folder: Path
    checkpoints: Path
    log: logging.Logger
    loss_limit: float = math.inf
    """A loss beyond +- this stops the training."""
    meters: Meters = field(default_factory=Meters)
    warning: str = ""
    """One line about what goes wrong, which ``report`` keeps up to date."""
    minutes: float = math.inf
    """Time that a session may take."""
    processes: Processes = ALONE
    """Those that train together. The first one writes; what ends the training is agreed by all."""
    share: float = math.inf
    """Of the time that reports, snapshots and checkpoints may each take; one that would take more waits for its next
    turn. Where it is finite, checkpoints are written by a thread, out of a copy."""

    @abstractmethod
    def step(self) -> None:
        """Train on the batch that starts at ``state.images_seen``, without moving that clock."""

    def after_step(self) -> None:  # noqa: B027
        """What follows a step, once its images are counted: the moving average."""

    def report(self, stats: dict[str, float]) -> None:  # noqa: B027
        """Write down the means since the last report."""

    def evaluate(self) -> None:  # noqa: B027
        """Measure, if that is due; its seconds do not count as training."""

    def should_stop(self) -> bool:
        """Whether the training has reached its end before its length."""
        return False

    def snapshot(self) -> None:  # noqa: B027
        """Write what people look at on the way."""

    def save_model(self) -> None:  # noqa: B027
        """Write the network as it will be used, at every checkpoint."""

    def has_model(self) -> bool:
        """Whether what ``save_model`` writes is there; a resumed training writes it anew where it is not."""
        return True

    def run(self, resumed: bool, on_progress: OnProgress = no_train_progress,
            on_stop: Callable[[], None] = ignore_stop) -> TrainResult:  # fmt: skip
        """Train to the end, or to an interruption: Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 leave a checkpoint and return.

        Events come in the order report, snapshot, model, checkpoint: the checkpoint comes last, so whatever is due
        where a ``resumed`` training starts was written before its checkpoint was, unless somebody deleted it since.
        """
        state, intervals, processes = self.state, self.intervals, self.processes
        began, seconds_before, began_at = time.monotonic(), state.seconds, state.images_seen
        pace, writer = Pace(self.share), CheckpointWriter(aside=math.isfinite(self.share))
        nothing_due_at = state.images_seen if resumed else None
        reported, reported_at, paused = state.images_seen, began, 0.0
        with interruptible(on_stop) as interrupted, writer:
            if processes.first and resumed and not self.has_model():
                self.save_model()
            while True:
                clock = state.images_seen
                state.seconds = seconds_before + time.monotonic() - began - paused
                evaluation_began = time.monotonic()
                self.evaluate()
                taken = time.monotonic() - evaluation_began
                reported_at, paused = reported_at + taken, paused + taken
                out_of_time = time.monotonic() - began > 60 * self.minutes
                stopping = bool(interrupted) or out_of_time or self.should_stop()
                late = [processes.first and pace.is_late(kind) for kind in EVENTS]
                stopping, *late = processes.any_of([stopping, *late])
                done, waits = clock >= self.images or stopping, dict(zip(EVENTS, late, strict=True))

                if clock != nothing_due_at:
                    saving = clock > 0 and self._is_due(intervals.checkpoint, waits["checkpoint"])
                    if clock > reported and (done or self._is_due(intervals.report, waits["report"])):
                        with pace.timed("report"):
                            now = time.monotonic()
                            speed = (clock - reported) / (now - reported_at)
                            stats = {**self._means(self.meters.take()), "images_per_second": speed}
                            self.check_losses(stats)
                            if processes.first:
                                self.report(stats)
                                tell(on_progress, TrainProgress(clock, self.images, stats, self.warning))
                            reported, reported_at = clock, now
                    if done or saving:
                        with pace.timed("checkpoint"):
                            self.check_losses(self._means(self.meters.means()))
                            self.check_weights()
                    if processes.first and (done or self._is_due(intervals.snapshot, waits["snapshot"])):
                        with pace.timed("snapshot"):
                            self.snapshot()
                    if processes.first and (done or saving):
                        with pace.timed("checkpoint"):
                            self.save_model()
                            self.save_checkpoint(writer)
                if done:
                    break

                self.step()
                state.images_seen = clock + self.batch_size
                self.after_step()
        finished = clock >= self.images or processes.any(self.should_stop())
        stopped = processes.any(bool(interrupted))
        seconds, out_of_time = time.monotonic() - began, not (finished or stopped)
        return TrainResult(clock, finished, seconds, self.folder, self.warning, out_of_time, began_at)

    def save_checkpoint(self, writer: CheckpointWriter) -> None:
        intervals = self.intervals
        writer.write(self.checkpoints, *self.state.state_dict(), intervals.keep_last, intervals.keep_every)

    def check_losses(self, stats: dict[str, float]) -> None:
        """Raise KaoganError for a loss that is no number or beyond the limit, before it reaches a checkpoint."""
        for name, value in stats.items():
            if name.startswith("loss") and not abs(value) <= self.loss_limit:
                what = "is not a number" if math.isnan(value) else f"ran away to {value:.3g}"
                raise self._diverged(f"{name} {what}")

    def check_weights(self) -> None:
        """Raise KaoganError for weights that are no numbers: they must never replace a good checkpoint."""
        total = weight_norm(self.state.networks())
        if not math.isfinite(total):
            raise self._diverged("a weight is not a number")
        if not self.processes.agree(total):
            raise KaoganError(f"training stopped in {self.folder}: its processes no longer have the same weights")

    def advice(self, kept: bool) -> str:
        """What to do when the training has diverged."""
        return "Try again with a lower learning rate"

    def _means(self, stats: dict[str, float]) -> dict[str, float]:
        """Over all processes."""
        return dict(zip(stats, self.processes.mean(list(stats.values())), strict=True))

    def _is_due(self, every: int, waits: bool) -> bool:
        """Whether an event of every so many images comes now, unless it ``waits``; 0: never."""
        return not waits and every > 0 and crosses_multiple(every, self.state.images_seen, self.batch_size)

    def _diverged(self, what: str) -> KaoganError:
        kept = checkpoint.find(self.checkpoints)
        where = f"the last good checkpoint is {kept[-1].name}" if kept else "no checkpoint had been written yet"
        message = f"training stopped in {self.folder}: {what}; {where}. {self.advice(bool(kept))}"
        self.log.info("%s", message)
        return KaoganError(message)


@torch.no_grad()
def weight_norm(networks: Iterable[nn.Module]) -> float:
    """The sum of the norms of all weights, which is finite when every weight is a number."""
    norms = [norm for network in networks for norm in torch._foreach_norm(list(network.parameters()))]
    return float(torch.stack(norms).sum())


def tell(on_progress: OnProgress, progress: TrainProgress) -> None:
    """Show progress; a terminal or a pipe that is gone must not end the training."""
    with contextlib.suppress(OSError):
        on_progress(progress)
