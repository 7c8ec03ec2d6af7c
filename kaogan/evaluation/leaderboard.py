"""The leaderboard page of ``kaogan compare``: made from run folders alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kaogan.core.atomic_io import write_text
from kaogan.core.errors import KaoganError
from kaogan.core.html import data_uri, environment, picture_uri
from kaogan.core.images import grid
from kaogan.evaluation import tables
from kaogan.evaluation.compare import Entry, config_of, curve, last_line, metric, recipe_of
from kaogan.evaluation.page import TEMPLATES
from kaogan.evaluation.results import TRAINED_FOOTNOTE, TRAINED_MARK
from kaogan.evaluation.verdict import verdict
from kaogan.generate.model import load
from kaogan.metrics import curve_plots
from kaogan.metrics.registry import Better, cost

PICTURES, COLUMNS = 24, 12
UNLEARNT = (
    "Nothing has been learnt yet that could be ranked: of no model does any picture lie among the real ones (precision "
    "0 for all), so that the order of these lines means nothing. Train longer."
)
Line = Mapping[str, Any]


def write_leaderboard(entries: Sequence[Entry], path: Path) -> Path:
    """One self-contained file, the best first. Raises KaoganError when nothing was measured yet."""
    lines = {run: line for entry in entries for run in entry.runs if (line := last_line(run))}
    if not lines:
        raise KaoganError("nothing was measured yet; run 'kaogan evaluate RUN --data SET' or 'kaogan compare' first")
    keys = metric_keys(list(lines.values()))
    ranked = sorted(entries, key=lambda entry: _rank(entry, keys, lines))
    first = next(iter(lines.values()))
    learnt = anything_learnt(lines.values())
    head, rows = leaderboard_table(ranked, lines, keys, crowned=learnt)
    text = environment(TEMPLATES).get_template("leaderboard.html.j2").render(
        **_introduction(first, entries),
        verdict=verdict_of(entries),
        head=head,
        rows=rows,
        footnote=TRAINED_FOOTNOTE if any(_trained(line, key) for line in lines.values() for key in keys) else "",
        warnings=_warnings(list(lines.values())),
        curves=_curves(ranked),
        entries=[_sheet(entry) for entry in ranked],
    )  # fmt: skip
    write_text(path, text)
    return path


def verdict_of(entries: Sequence[Entry]) -> str:
    """How good the best of them is, in a sentence; empty where nothing was measured."""
    lines = {run: line for entry in entries for run in entry.runs if (line := last_line(run))}
    if not anything_learnt(lines.values()):
        return UNLEARNT
    keys = metric_keys(list(lines.values()))
    measured = [entry for entry in entries if any(run in lines for run in entry.runs)]
    best = min(measured, key=lambda entry: _rank(entry, keys, lines), default=None)
    if best is None:
        return ""
    metrics = {
        key: {**found, "value": estimate.value, "trained_against": _entry_trained(best, lines, key)}
        for key, found in keys.items()
        if (estimate := metric(best.runs, key))
    }
    return verdict(best.name, metrics, among=len(measured))


def metric_keys(lines: Sequence[Line]) -> dict[str, Line]:
    """The metrics of all lines, in order, with what the first line that has it says of it."""
    keys: dict[str, Line] = {}
    for line in lines:
        for key, found in line.get("metrics", {}).items():
            keys.setdefault(key, found)
    return keys


def anything_learnt(lines: Any) -> bool:
    """Whether any model makes pictures that lie among the real ones; also where nobody measured it."""
    values = [
        float(found["value"])
        for line in lines
        for key, found in line.get("metrics", {}).items()
        if key.startswith("precision/") and not _trained(line, key)
    ]
    return not values or max(values) > 0


def _trained(line: Line, key: str) -> bool:
    """Whether the model was trained on the network that measured ``key``."""
    return bool(line.get("metrics", {}).get(key, {}).get("trained_against"))


def _entry_trained(entry: Entry, lines: Mapping[Path, Line], key: str) -> bool:
    return any(_trained(lines[run], key) for run in entry.runs if run in lines)


def _rank(entry: Entry, keys: Mapping[str, Line], lines: Mapping[Path, Line]) -> float:
    """By the first metric that may decide, infinite samples before finite ones: one that no model was trained on."""
    deciding = [key for key in keys if not any(_trained(line, key) for line in lines.values())]
    for key in sorted(deciding or keys, key=lambda k: not k.startswith("fid_infinite")):
        if found := metric(entry.runs, key):
            return cost(key, found.value)
    return float("inf")


def _introduction(line: Line, entries: Sequence[Entry]) -> dict[str, Any]:
    data = line.get("data") or {}
    seeds = {len(entry.runs) for entry in entries}
    several = (
        f"{min(seeds)} to {max(seeds)} seeds" if len(seeds) > 1 else f"{max(seeds)} seed{'s' if max(seeds) > 1 else ''}"
    )
    real = {
        "count": int(data.get("count", 0)),
        "name": Path(str(data.get("source", "?"))).name,
        "fingerprint": str(data.get("fingerprint", "?"))[:12],
    }
    return {"real": real, "count": int(line.get("count", 0)), "seeds": several}


def leaderboard_table(
    entries: Sequence[Entry], lines: Mapping[Path, Line], keys: Mapping[str, Line], *, crowned: bool = True
) -> tuple[list[str], list[list[str | tables.Cell | None]]]:
    """Head and rows; without ``crowned`` no number is marked as the best."""
    columns = {key: [metric(entry.runs, key) for entry in entries] for key in keys}
    winners = {}
    for key, column in columns.items():
        better: Better = keys[key].get("better", "lower")
        fair = [
            None if _entry_trained(entry, lines, key) else found for entry, found in zip(entries, column, strict=True)
        ]
        winners[key] = tables.clear_winner(fair, better) if crowned else None
    heads = [tables.heading(str(found.get("name", key)), str(found.get("better"))) for key, found in keys.items()]
    body: list[list[str | tables.Cell | None]] = []
    for place, entry in enumerate(entries):
        configs = [config_of(run) for run in entry.runs]
        clock = float(np.mean([c.get("clock", 0) for c in configs]))
        minutes = float(np.mean([c.get("minutes", 0) for c in configs]))
        marks = {key: TRAINED_MARK if _entry_trained(entry, lines, key) else "" for key in keys}
        cells = [tables.cell(columns[key][place], winners[key] == place, marks[key]) for key in keys]
        body.append([entry.name, *cells, f"{len(entry.runs)}", f"{clock:,.0f}", f"{minutes:,.1f}"])
    reals = [found.get("real") for found in keys.values()]
    real_cells = [tables.number(float(real)) if isinstance(real, int | float) else "–" for real in reals]
    body.append(["real", *real_cells, "", "", ""])
    return ["", *heads, "seeds", "images", "minutes"], body


def _warnings(lines: Sequence[Line]) -> list[str]:
    """Numbers of different references, counts or extractors must not be read as one table."""
    differing = []
    for what, values in (
        ("real pictures", {str((line.get("data") or {}).get("fingerprint")) for line in lines}),
        ("numbers of generated pictures", {line.get("count") for line in lines}),
        ("shares of the latents (--keep)", {line.get("keep", 1) for line in lines}),
        ("weights of the features", {str(sorted((line.get("features") or {}).items())) for line in lines}),
    ):
        if len(values) > 1:
            differing.append(what)
    return [f"These runs were measured with different {' and '.join(differing)}: do not compare them."] * bool(
        differing
    )


def _curves(entries: Sequence[Entry]) -> list[dict[str, str]]:
    """Two plots for each extractor that trainings were measured with on the way."""
    drawn: dict[str, dict[str, list[curve_plots.Point]]] = {}
    for entry in entries:
        if len(points := curve(entry.runs)) > 1:
            recipe = recipe_of(entry.runs[0])
            drawn.setdefault(recipe.eval.features.partition("=")[0] if recipe else "?", {})[entry.name] = points
    return [plot for extractor, lines in drawn.items() for plot in _plots(lines, extractor)]


def _plots(drawn: Mapping[str, list[curve_plots.Point]], extractor: str) -> list[dict[str, str]]:
    label = f"FD ({extractor}), as the training went"
    captions = {
        "clock": "against images shown: what a method makes of its data",
        "minutes": "against minutes of training on this machine: what a method makes of your time",
    }
    return [
        {"uri": data_uri(curve_plots.png(curve_plots.figure(drawn, label, against=against)), "png"), "caption": caption}
        for against, caption in captions.items()
    ]


def _sheet(entry: Entry) -> dict[str, str]:
    model = load(entry.runs[0], "cpu")
    pixels = grid(model.sample(PICTURES, keep=1), COLUMNS)
    caption = f"the first {PICTURES} pictures of seed 0, nothing picked; {entry.runs[0].name}"
    return {
        "name": entry.name, "grid": picture_uri(pixels, max(1, 64 // model.image_size)), "caption": caption
    }  # fmt: skip
