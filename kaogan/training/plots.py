"""The pictures that a run leaves behind: plots of its numbers and films of its grids. Pure functions of files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from kaogan.core.atomic_io import atomic, explain
from kaogan.generate.video import write_video

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOT_PIXELS = (1200, 700)
FILM_WIDTH = 800  # px; a wider grid is scaled down
DISCRIMINATOR, GENERATOR = "#1f6fb4", "#d9662b"
COLOURS = ("#1f6fb4", "#d9662b", "#2a9d6f", "#b0407f", "#8a6d1d", "#6a51a3", "#0f8f9c", "#7f7f7f")


def read_stats(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``stats.jsonl``; those that are not whole, like the last one of a killed run, are left out.

    Raises KaoganError when the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise explain(error, path) from error
    stats = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and _is_number(entry.get("clock")):
            stats.append(entry)
    return stats


def loss_plot(stats: Sequence[dict[str, Any]], path: Path, title: str) -> Path:
    """Both losses, D(x) and D(G(z)) against images shown: 1200 × 700 px."""
    _save(loss_figure(stats, title), path)
    return path


def attribute_plot(stats: Sequence[dict[str, Any]], path: Path, title: str) -> bool:
    """The attribute losses of both networks on a logarithmic axis; False, and no file, when there are none."""
    figure = attribute_figure(stats, title)
    if figure is not None:
        _save(figure, path)
    return figure is not None


def loss_figure(stats: Sequence[dict[str, Any]], title: str) -> Figure:
    figure = _figure(title)
    losses, scores = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    _draw(losses, stats, "loss_d", "discriminator", DISCRIMINATOR)
    _draw(losses, stats, "loss_g", "generator", GENERATOR)
    _draw(scores, stats, "real_score", "D(x), real pictures", DISCRIMINATOR)
    _draw(scores, stats, "fake_score", "D(G(z)), generated pictures", GENERATOR)
    _finish(losses, "loss")
    _finish(scores, "score")
    scores.set_xlabel("images shown")
    return figure


def attribute_figure(stats: Sequence[dict[str, Any]], title: str) -> Figure | None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    keys = {key: None for entry in stats for key in entry if key.startswith(("attributes_d/", "attributes_g/"))}
    drawn = [key for key in keys if any(value > 0 for value in series(stats, key)[1])]
    if not drawn:
        return None
    figure = _figure(title)
    axes = figure.subplots()
    names = list(dict.fromkeys(key.partition("/")[2] for key in drawn))
    for key in drawn:
        side, _, name = key.partition("/")
        generated = side == "attributes_g"
        label = f"{name}, {'generated' if generated else 'real'} pictures"
        colour = COLOURS[names.index(name) % len(COLOURS)]
        _draw(axes, stats, key, label, colour, "--" if generated else "-", log=True)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    _finish(axes, "attribute loss")
    axes.set_xlabel("images shown")
    return figure


def series(stats: Iterable[dict[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """The clock and the finite values of one key, both (n,)."""
    pairs = [(entry["clock"], entry[key]) for entry in stats if _is_number(entry.get(key))]
    clocks, values = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(clocks, float), np.array(values, float)


def smooth(values: np.ndarray) -> np.ndarray:
    """The course of ``values``: a median of five, then a Gaussian over about a fortieth of them; (n,) -> (n,)."""
    sigma = len(values) / 40
    if sigma < 0.5:
        return values
    # The median first: an average would turn the single spike of a GAN's loss into a mountain.
    values = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(values, 2, "edge"), 5), axis=1)
    reach = math.ceil(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    # Dividing by the part of the kernel that lies inside keeps both ends where the data has them.
    inside = np.convolve(np.ones_like(values), kernel)[reach : reach + len(values)]
    return np.convolve(values, kernel)[reach : reach + len(values)] / inside


def film(
    frames: Sequence[Path],
    gif: Path | None,
    mp4: Path | None,
    fps: float = 8,
    limit: int = 120,
    hold: float = 1.5,
) -> str | None:
    """The grids of a run as a GIF and an MP4, each at most ``limit`` frames long and the last one held for ``hold`` s.

    Grids that cannot be read, or whose size is not that of the last one, are left out. Returns None, or a note of what
    could not be made and why: a film is never worth a run.
    """
    pictures = _Frames(thin(frames, limit))
    if not len(pictures):
        return "no film: no grid could be read"
    notes = []
    for path in (gif, mp4):
        if path is None:
            continue
        try:
            write_video(pictures, path, fps, hold)
        except Exception as error:  # codecs fail in ways of their own
            notes.append(f"no {path.name}: {error}")
    return "; ".join(notes) or None


def thin(items: Sequence[Path], limit: int) -> list[Path]:
    """At most ``limit`` items at even distances; the last is always among them, and so is the first of several."""
    if len(items) <= limit:
        return list(items)
    return [items[round(index)] for index in np.linspace(len(items) - 1, 0, limit)[::-1]]


class _Frames:
    """The readable pictures of a film, RGB, all of one size, read when they are needed."""

    def __init__(self, paths: list[Path]):
        sizes = {path: _size(path) for path in paths}
        self._paths = [path for path in paths if sizes[path] is not None]
        self.size = (0, 0)
        if self._paths:
            width, height = last = sizes[self._paths[-1]] or (1, 1)
            self._paths = [path for path in self._paths if sizes[path] == last]
            scale = min(1.0, FILM_WIDTH / width)
            self.size = (round(width * scale), max(1, round(height * scale)))

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[np.ndarray]:
        for path in self._paths:
            with Image.open(path) as picture:
                frame = picture.convert("RGB")
            yield np.asarray(frame if frame.size == self.size else frame.resize(self.size, Image.Resampling.LANCZOS))


def _size(path: Path) -> tuple[int, int] | None:
    """The size of a picture that can be read to its end, else None."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # what Pillow raises for broken pictures
        return None


def _figure(title: str) -> Figure:
    # Figure without pyplot: no global state, no window, and the Agg canvas that savefig brings for PNG.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PLOT_PIXELS[0] / 100, PLOT_PIXELS[1] / 100), dpi=100, layout="constrained")
    figure.suptitle(title, parse_math=False)
    return figure


def _draw(
    axes: Axes,
    stats: Sequence[dict[str, Any]],
    key: str,
    label: str,
    colour: str,
    style: str = "-",
    *,
    log: bool = False,
) -> None:
    """The smoothed series over its faint self; a series of one point is a dot."""
    clocks, values = series(stats, key)
    if log:
        clocks, values = clocks[values > 0], values[values > 0]
    if not len(values):
        return
    marker = "o" if len(values) == 1 else None
    # matplotlib reads $ as mathematics and hides labels that begin with an underscore.
    label = label.replace("$", r"\$").lstrip("_")
    axes.plot(clocks, values, color=colour, alpha=0.22, linewidth=0.8)
    axes.plot(clocks, smooth(values), style, color=colour, linewidth=2, marker=marker, label=label)


def _finish(axes: Axes, label: str) -> None:
    from matplotlib.ticker import EngFormatter

    axes.set_ylabel(label)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if not axes.lines:
        axes.text(0.5, 0.5, "nothing measured yet", transform=axes.transAxes, ha="center", va="center")
        return
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.lines])
    if len(values) >= 100 and axes.get_yscale() == "linear":
        # One spike of a thousandfold loss would flatten all the rest into a line.
        low, high = np.quantile(values, (0.005, 0.995))
        margin = 0.08 * (high - low) or 0.1
        axes.set_ylim(low - margin, high + margin)
    axes.legend(loc="best", frameon=False)


def _save(figure: Figure, path: Path) -> None:
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
