"""Ratios inside one process: candidates take turns, medians are compared, and the load by others is reported.

Absolute times drift by the hour on a shared machine; the ratio of interleaved medians does not.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil


@dataclass
class Watch:
    """How much of the machine's processor time others used while this process measured."""

    others: float = 0.0
    total: float = 0.0
    _began: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))

    def __enter__(self) -> Watch:
        self._began = _times()
        return self

    def __exit__(self, *_: object) -> None:
        busy, own, wall = (now - then for now, then in zip(_times(), self._began, strict=True))
        self.others += max(0.0, busy - own)
        self.total += wall * (os.cpu_count() or 1)

    @property
    def share(self) -> float:
        return self.others / self.total if self.total else 0.0


@dataclass(frozen=True)
class Timing:
    seconds: dict[str, float]
    """Medians by candidate."""
    repeats: int
    busy: float
    """The share of the machine that other processes used meanwhile."""


def interleaved(candidates: dict[str, Callable[[], object]], repeats: int, seconds: float, warm_up: int = 2) -> Timing:
    """Median times of the candidates, each called once a round: ``repeats`` rounds, fewer when ``seconds`` are over
    (but at least three)."""
    for work in candidates.values():
        for _ in range(warm_up):
            work()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    began, done = time.perf_counter(), 0
    with Watch() as watch:
        while done < repeats and (done < 3 or time.perf_counter() - began < seconds):
            for name, work in candidates.items():
                start = time.perf_counter()
                work()
                times[name].append(time.perf_counter() - start)
            done += 1
    return Timing({name: statistics.median(each) for name, each in times.items()}, done, watch.share)


def _times() -> tuple[float, float, float]:
    cpu, own = psutil.cpu_times(), psutil.Process().cpu_times()
    return sum(cpu) - cpu.idle - getattr(cpu, "iowait", 0.0), own.user + own.system, time.perf_counter()
