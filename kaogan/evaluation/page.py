"""What ``kaogan evaluate`` leaves behind: lines of metrics.jsonl, a page, a Markdown table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from kaogan.core.atomic_io import explain, write_text
from kaogan.core.images import grid
from kaogan.evaluation import html
from kaogan.evaluation.image_sources import read_lines
from kaogan.evaluation.rows import Result, Row
from kaogan.metrics import curve_plots

LINES = "metrics.jsonl"
GRID, COLUMNS = 64, 16
NEAREST = 24


def append_lines(results: Sequence[Result]) -> list[Path]:
    """Add each result to the metrics.jsonl of its run; pictures and models outside of a run have none."""
    written = []
    for result in results:
        if result.subject.run is None:
            continue
        path = result.subject.run / LINES
        try:
            with path.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(result.to_json(), ensure_ascii=False) + "\n")
        except OSError as error:
            raise explain(error, path) from error
        written.append(path)
    return written


def write_page(results: Sequence[Result], path: Path) -> Path:
    """One self-contained file. Raises KaoganError."""
    names = ", ".join(result.subject.name for result in results)
    parts = [f"<h1>Evaluation of {escape(names)}</h1>", _introduction(results[0]), results_table(results), READING]
    parts += curve_parts(results)
    for result in results:
        parts += _section(result)
    write_text(path, html.page(f"Evaluation of {names}", parts))
    return path


READING = """<p class="soft">Small print: 95 % confidence intervals. <i>Real</i> is what disjoint parts of the real
pictures reach against one another: what perfect looks like at these numbers of pictures. FD is the Fréchet distance
with other features than Inception's; numbers of different features, or of different numbers of pictures, cannot be
compared, but for FD∞, which is extrapolated to infinitely many. KD is the kernel distance, MD the mean squared distance
by which the pictures have to be moved along random directions (MIND). Precision and recall: k = 3; density and
coverage: k = 5. Green: the best, where its interval touches no other.</p>"""


def _introduction(result: Result) -> str:
    assert result.reference is not None
    real = result.reference.pictures
    return (
        f"<p>Against {len(real):,} real pictures of <code>{escape(Path(real.source).name)}</code> at "
        f"{result.subject.image_size} px (fingerprint {real.fingerprint[:12]}), seed {result.seed}.</p>"
    )


def row_keys(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(key for result in results for key in result.rows))


def clear_winner(rows: Sequence[Row | None]) -> int | None:
    """The position of the best row, if its interval touches no other's."""
    there = [(number, row) for number, row in enumerate(rows) if row is not None]
    if len(there) < 2 or there[0][1].estimate.value != there[0][1].estimate.value:
        return None
    sign = 1 if there[0][1].better == "lower" else -1
    there.sort(key=lambda item: sign * item[1].estimate.value)
    (best, first), *others = there
    return None if any(first.estimate.overlaps(row.estimate) for _, row in others) else best


def results_table(results: Sequence[Result]) -> str:
    body = []
    for key in row_keys(results):
        rows = [result.rows.get(key) for result in results]
        known = next(row for row in rows if row is not None)
        winner = clear_winner(rows)
        arrow = "↓" if known.better == "lower" else "↑"
        real = next((row.real for row in rows if row is not None and row.real is not None), None)
        cells = [html.cell(row.estimate if row else None, number == winner) for number, row in enumerate(rows)]
        body.append([html.text(f"{known.name} {arrow}"), *cells, html.text("–" if real is None else html.number(real))])
    counts = [f"{result.subject.name} ({result.subject.count:,})" for result in results]
    return html.table(["", *counts, "real"], body)


def curve_parts(results: Sequence[Result]) -> list[str]:
    """Fréchet distances along the clock, of those runs that were measured more than once."""
    parts = []
    for key in (key for key in row_keys(results) if key.startswith("fd/")):
        drawn = {}
        for result in results:
            run = result.subject.run
            points = curve_plots.history(read_lines(run / LINES), key) if run else []
            if len(points) > 1:
                drawn[result.subject.name] = points
        if drawn:
            row = next(result.rows[key] for result in results if key in result.rows)
            parts.append(
                html.plot(
                    curve_plots.png(curve_plots.figure(drawn, row.name, perfect=row.real)), f"{row.name} by images"
                )
            )
    return ["<h2>Along the clock</h2>", *parts] if parts else []


def _section(result: Result) -> list[str]:
    subject = result.subject
    facts = ", ".join(
        f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}" for key, value in subject.facts.items()
    )
    parts = [f"<h2>{escape(subject.name)}</h2>", f'<p class="soft">{escape(facts)}</p>']
    parts.append(html.notes([*subject.notes, *result.notes, *(row.note for row in result.rows.values() if row.note)]))
    first = subject.pictures(range(min(GRID, subject.count)))
    parts.append(html.picture(grid(first, COLUMNS), f"the first {len(first)} pictures of seed {result.seed}"))
    parts += _nearest(result)
    for name, found in result.accuracies.items():
        parts.append(f"<h3>{escape(name)}: asked for, and seen by the tagger</h3>")
        parts.append(html.confusion(found.confusion, found.values, "asked", "seen"))
    return parts


def _nearest(result: Result) -> list[str]:
    """The generated pictures that come closest to a real one, each beside it."""
    memory = result.memory
    if memory is None or result.reference is None:
        return []
    order = np.argsort(memory.closeness, kind="stable")[:NEAREST]
    sheet = html.pairs(
        result.subject.pictures(order.tolist()), np.asarray(result.reference.pictures.images[memory.nearest[order]]), 8
    )
    least = memory.closeness[order[0]]
    caption = (
        f"the {len(order)} generated pictures nearest to a real one (right of each), from {least:.2f} of the usual "
        f"distance between real ones on; {memory.threshold:.2f} and less counts as a copy"
    )
    return ["<h3>Nearest real pictures</h3>", html.picture(sheet, caption)]


def markdown(results: Sequence[Result]) -> str:
    """A table with a line for each subject, for documents."""
    keys = row_keys(results)
    heads = []
    for key in keys:
        row = next(result.rows[key] for result in results if key in result.rows)
        heads.append(f"{row.name} {'↓' if row.better == 'lower' else '↑'}")
    lines = [f"| | pictures | {' | '.join(heads)} |", f"|---|---|{'---|' * len(heads)}"]
    for result in results:
        cells = []
        for key in keys:
            found = result.rows.get(key)
            cells.append(
                "–" if found is None else f"{html.number(found.estimate.value)} ({html.interval(found.estimate)})"
            )
        lines.append(f"| {result.subject.name} | {result.subject.count:,} | {' | '.join(cells)} |")
    reals = []
    for key in keys:
        real = next((r.rows[key].real for r in results if key in r.rows and r.rows[key].real is not None), None)
        reals.append("–" if real is None else html.number(real))
    lines.append(f"| real against real | | {' | '.join(reals)} |")
    return "\n".join(lines) + "\n"
