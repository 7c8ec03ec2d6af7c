"""Plots of a metric along a training, with intervals as bands, and the histories that they are drawn from."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kaogan.core.atomic_io import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#1f6fb4", "#d9662b", "#2a9d6f", "#b0407f", "#8a6d1d", "#6a51a3", "#0f8f9c", "#7f7f7f")


@dataclass(frozen=True)
class Point:
    """A metric at one moment of a training."""

    clock: int
    value: float
    low: float
    high: float
    minutes: float = float("nan")


def history(lines: Sequence[Mapping[str, Any]], key: str) -> list[Point]:
    """The points of the metric ``key`` (``fid/tagger``) in lines of a metrics.jsonl; of one clock, the last. Only of
    lines that can be compared with the newest: the same real pictures, as many generated ones, the same weights."""
    points = {}
    having = [
        line
        for line in lines
        if isinstance(line.get("metrics"), Mapping) and key in line["metrics"] and line.get("keep", 1) == 1
    ]
    terms = _terms(having[-1], key) if having else {}
    for line in having:
        if any(value != terms.get(name, value) for name, value in _terms(line, key).items()):
            continue
        found, clock = line["metrics"][key], line.get("clock")
        if isinstance(found, Mapping) and isinstance(clock, int):
            minutes = line.get("minutes")
            points[clock] = Point(
                clock,
                float(found["value"]),
                float(found["low"]),
                float(found["high"]),
                float(minutes) if isinstance(minutes, int | float) else float("nan"),
            )
    return [points[clock] for clock in sorted(points)]


def _terms(line: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What two measurements must share to be compared, as far as a line of metrics.jsonl says it."""
    data, features = line.get("data"), line.get("features")
    found = {
        "real": data.get("fingerprint") if isinstance(data, Mapping) else None,
        "count": line.get("count"),
        "weights": features.get(key.partition("/")[2]) if isinstance(features, Mapping) else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def figure(
    curves: Mapping[str, Sequence[Point]], label: str, *, perfect: float | None = None, against: str = "clock"
) -> Figure:
    """One line for each training, its 95 % intervals as a band; ``against`` is ``clock`` or ``minutes``."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    drawn = Figure(figsize=(9, 4.6), dpi=100, layout="constrained")
    axes = drawn.subplots()
    for number, (name, points) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        x = np.array([getattr(p, against) for p in points], float)
        low, middle, high = (np.array([getattr(p, part) for p in points], float) for part in ("low", "value", "high"))
        axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        shown = name.replace("$", r"\$").lstrip("_")  # matplotlib reads $ as mathematics and hides labels with _
        axes.plot(x, middle, color=colour, linewidth=2, marker="o", markersize=3.5, label=shown)
    if perfect is not None and np.isfinite(perfect):
        axes.axhline(perfect, color="#7f7f7f", linestyle=":", linewidth=1.5, label="real against real")
    values = [p.value for points in curves.values() for p in points if p.value > 0]
    if values and max(values) > 20 * min(values):
        axes.set_yscale("log")
    axes.set_ylabel(label.replace("$", r"\$"))
    axes.set_xlabel("images shown" if against == "clock" else "minutes of training")
    if against == "clock":
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if curves:
        axes.legend(loc="best", frameon=False)
    return drawn


def png(drawn: Figure) -> bytes:
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png")
    return buffer.getvalue()


def save(drawn: Figure, path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_bytes(png(drawn))
