"""The page of ``kaogan compare``: made from run folders alone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from kaogan.core.atomic_io import write_text
from kaogan.core.errors import KaoganError
from kaogan.core.images import grid
from kaogan.evaluation import html
from kaogan.evaluation.compare import Entry, config_of, curve, last_line, metric
from kaogan.generate.model import load
from kaogan.metrics import curve_plots
from kaogan.metrics.stats.estimate import Estimate

PICTURES, COLUMNS = 24, 12


def write_leaderboard(entries: Sequence[Entry], path: Path) -> Path:
    """One self-contained file, the best first. Raises KaoganError when nothing was measured yet."""
    lines = {run: line for entry in entries for run in entry.runs if (line := last_line(run))}
    if not lines:
        raise KaoganError("nothing was measured yet; run 'kaogan evaluate RUN --data SET' or 'kaogan compare' first")
    keys = metric_keys(list(lines.values()))
    ranked = sorted(entries, key=lambda entry: _rank(entry, keys))
    first = next(iter(lines.values()))
    parts = ["<h1>Leaderboard</h1>", _introduction(first, entries), leaderboard_table(ranked, lines, keys)]
    parts += [_warning(list(lines.values()))]
    parts += curve_parts(ranked, first)
    parts.append("<h2>The same latents</h2>")
    for entry in ranked:
        parts.append(f"<h3>{escape(entry.name)}</h3>")
        model = load(entry.runs[0], "cpu")
        caption = f"the first {PICTURES} pictures of seed 0, nothing picked; {entry.runs[0].name}"
        parts.append(html.picture(grid(model.sample(PICTURES), COLUMNS), caption, max(1, 64 // model.image_size)))
    write_text(path, html.page("Leaderboard", [part for part in parts if part]))
    return path


def metric_keys(lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The metrics of all lines, in order, with what the first line that has it says of it."""
    keys: dict[str, dict[str, Any]] = {}
    for line in lines:
        for key, found in line.get("metrics", {}).items():
            keys.setdefault(key, found)
    return keys


def _rank(entry: Entry, keys: dict[str, dict[str, Any]]) -> float:
    """By the first metric that there is, infinite samples before finite ones."""
    for key in sorted(keys, key=lambda k: not k.startswith("fd_infinite")):
        if found := metric(entry.runs, key):
            return found.value if keys[key].get("better") == "lower" else -found.value
    return float("inf")


def _introduction(line: dict[str, Any], entries: Sequence[Entry]) -> str:
    data = line.get("data") or {}
    seeds = {len(entry.runs) for entry in entries}
    several = (
        f"{min(seeds)} to {max(seeds)} seeds" if len(seeds) > 1 else f"{max(seeds)} seed{'s' if max(seeds) > 1 else ''}"
    )
    return (
        f"<p>Each against the same {data.get('count', 0):,} real pictures of "
        f"<code>{escape(Path(str(data.get('source', '?'))).name)}</code> (fingerprint "
        f"{escape(str(data.get('fingerprint', '?'))[:12])}), {line.get('count', 0):,} generated pictures, "
        f"{several}.</p>"
        '<p class="soft">Below each number its 95 % confidence interval: over the seeds where there are several, which '
        "holds the luck of the training, else that of the metric alone. <i>real</i>: real pictures against real ones. "
        "Green: the best, where its interval touches no other.</p>"
    )


def leaderboard_table(
    entries: Sequence[Entry], lines: dict[Path, dict[str, Any]], keys: dict[str, dict[str, Any]]
) -> str:
    columns = {key: [metric(entry.runs, key) for entry in entries] for key in keys}
    winners = {key: _winner(column, keys[key].get("better") == "lower") for key, column in columns.items()}
    heads = [
        f"{found.get('name', key)} {'↓' if found.get('better') == 'lower' else '↑'}" for key, found in keys.items()
    ]
    body = []
    for place, entry in enumerate(entries):
        configs = [config_of(run) for run in entry.runs]
        clock = float(np.mean([c.get("clock", 0) for c in configs]))
        minutes = float(np.mean([c.get("minutes", 0) for c in configs]))
        cells = [html.cell(columns[key][place], winners[key] == place) for key in keys]
        body.append([html.text(entry.name), f"<td>{len(entry.runs)}</td>", f"<td>{clock:,.0f}</td>",
                     f"<td>{html.number(minutes)}</td>", *cells])  # fmt: skip
    reals = [found.get("real") for found in keys.values()]
    told = [html.text(html.number(float(real)) if isinstance(real, int | float) else "–") for real in reals]
    body.append([html.text("real"), *["<td></td>"] * 3, *told])
    return html.table(["", "seeds", "images", "minutes", *heads], body)


def _winner(column: Sequence[Estimate | None], lower: bool) -> int | None:
    there = sorted(
        ((found.value if lower else -found.value, place, found) for place, found in enumerate(column) if found),
        key=lambda item: item[:2],
    )
    if len(there) < 2 or any(there[0][2].overlaps(found) for _, _, found in there[1:]):
        return None
    return there[0][1]


def _warning(lines: Sequence[dict[str, Any]]) -> str:
    """Numbers of different references, counts or extractors must not be read as one table."""
    differing = []
    for what, values in (
        ("real pictures", {str((line.get("data") or {}).get("fingerprint")) for line in lines}),
        ("numbers of generated pictures", {line.get("count") for line in lines}),
        ("weights of the features", {str(sorted((line.get("features") or {}).items())) for line in lines}),
    ):
        if len(values) > 1:
            differing.append(what)
    if not differing:
        return ""
    return html.notes([f"These runs were measured with different {' and '.join(differing)}: do not compare them."])


def curve_parts(entries: Sequence[Entry], line: dict[str, Any]) -> list[str]:
    drawn = {entry.name: points for entry in entries if len(points := curve(entry.runs)) > 1}
    if not drawn:
        return []
    extractor = next(iter(line.get("features") or {"tagger": ""}))
    label = f"FD ({extractor}), as the training went"
    return [
        "<h2>Along the training</h2>",
        html.plot(
            curve_plots.png(curve_plots.figure(drawn, label)), "against images shown: what a method makes of its data"
        ),
        html.plot(
            curve_plots.png(curve_plots.figure(drawn, label, against="minutes")),
            "against minutes of training on this machine: what a method makes of your time",
        ),
    ]
