"""What ``kaogan evaluate`` leaves behind: lines of metrics.jsonl, a page, a Markdown table."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kaogan.core.atomic_io import explain, is_denied, write_text
from kaogan.core.errors import KaoganError
from kaogan.core.html import data_uri, environment, picture_uri
from kaogan.core.images import Pictures, grid
from kaogan.core.notes import note
from kaogan.evaluation import tables
from kaogan.evaluation.image_sources import GeneratedImages, read_lines
from kaogan.evaluation.results import TRAINED_FOOTNOTE, TRAINED_MARK, EvaluationResult
from kaogan.evaluation.runner import Evaluation
from kaogan.evaluation.verdict import verdict
from kaogan.generate.model_card import card
from kaogan.generate.model_io import CARD, find_model
from kaogan.metrics import curve_plots
from kaogan.metrics.comparison import Illustration, PicturePairs
from kaogan.metrics.registry import current_line, metric_of

LINES, PAGE = "metrics.jsonl", "evaluation.html"
GRID, COLUMNS = 64, 16
TEMPLATES = Path(__file__).parent / "templates"


def append_lines(results: Sequence[EvaluationResult]) -> list[Path]:
    """Add each result to the metrics.jsonl of its run; pictures and models outside of a run have none.

    A read-only run is left as it is, with a note. Raises KaoganError.
    """
    written = []
    for result in results:
        if result.source.run is None:
            continue
        path = result.source.run / LINES
        try:
            with path.open("ab+") as lines:
                if lines.tell():
                    lines.seek(-1, os.SEEK_END)
                    broken = lines.read(1) != b"\n"  # a process was killed, or the disk was full
                else:
                    broken = False
                line = json.dumps(result.to_json(), ensure_ascii=False)
                lines.write(("\n" * broken + line + "\n").encode())
        except OSError as error:
            if is_denied(error):
                note(f"{result.source.run} is read-only: the numbers are not in its {LINES}, only in the page")
                continue
            raise explain(error, path) from error
        written.append(path)
    return written


def metrics_lines(run: Path) -> list[dict[str, Any]]:
    """What was measured of a run, under today's keys, oldest first."""
    return [current_line(line) for line in read_lines(run / LINES)]


def write_cards(results: Sequence[EvaluationResult]) -> list[Path]:
    """What was measured of a run goes on the card of its model, unless that is read-only. Raises KaoganError."""
    written = []
    for result in results:
        source = result.source
        if isinstance(source, GeneratedImages) and source.run is not None:
            path = find_model(source.run) / CARD
            line = result.to_json()
            text = card(
                source.model.config, **measured_words(line), latent_filter=source.model.latent_filter
            )  # fmt: skip
            try:
                write_text(path, text)
            except KaoganError as error:
                if not is_denied(error):
                    raise
                continue
            written.append(path)
    return written


def measured_of(model: Path, clock: object) -> dict[str, Any]:
    """What the card of a run's model, or of a model in a run, says of its quality at ``clock``: keywords of ``card``,
    none where nothing was measured of it."""
    lines = [line for folder in (model, model.parent) for line in metrics_lines(folder) if line.get("clock") == clock]
    return measured_words(lines[-1]) if lines else {}


def measured_words(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of metrics.jsonl as keywords of ``card``."""
    return {
        "measured": measured_section(line),
        "results": measured_results(line),
        "measured_on": Path(str((line.get("data") or {}).get("source", ""))).name,
    }


def measured_results(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of metrics.jsonl by the names of their rows."""
    return {str(found.get("name")): float(found["value"]) for found in line.get("metrics", {}).values()}


def measured_section(line: Mapping[str, Any]) -> str:
    """A line of metrics.jsonl as the part of a model card about its quality, in Markdown."""
    data = line.get("data") or {}
    rows = []
    marked = False
    for found in line.get("metrics", {}).values():
        values = [tables.number(float(found[key])) for key in ("value", "low", "high")]
        real = found.get("real")
        mark = TRAINED_MARK if found.get("trained_against") else ""
        marked = marked or bool(mark)
        name = tables.heading(str(found.get("name", "")), str(found.get("better", ""))).replace("|", "/")
        real_cell = tables.number(float(real)) if isinstance(real, int | float) else "–"
        rows.append(f"| {name} | {values[0]}{mark} | {values[1]} … {values[2]} | {real_cell} |")
    head = (
        f"{line.get('count', 0):,} pictures of seed {line.get('seed', 0)}{_kept(line)} against "
        f"{data.get('count', 0):,} real ones, by kaogan evaluate; 95 % intervals; *real* is what real "
        "pictures reach against real ones."
    )
    lines = ["## Measured", "", head, "", "| | value | interval | real |", "|---|---|---|---|", *rows]
    return "\n".join([*lines, *(["", TRAINED_FOOTNOTE] if marked else [])])


def _kept(line: Mapping[str, Any]) -> str:
    return f", from the best {line['keep']:.0%} of the latents," if line.get("keep", 1) < 1 else ""


def write_page(results: Sequence[EvaluationResult], path: Path) -> Path:
    """One self-contained file. Raises KaoganError."""
    pictures = results[0].reference.pictures
    head, rows = tables.results_table(results)
    failures = results.failures if isinstance(results, Evaluation) else []
    text = environment(TEMPLATES).get_template("evaluation.html.j2").render(
        names=", ".join(result.source.name for result in results),
        real={"count": len(pictures), "name": Path(pictures.source).name, "fingerprint": pictures.fingerprint[:12],
              "image_size": results[0].source.image_size},
        seed=results[0].seed,
        head=head,
        rows=rows,
        footnote=TRAINED_FOOTNOTE if tables.marked(results) else "",
        failures=[f"{failure.name} was not measured: {failure.reason}" for failure in failures],
        verdicts=verdicts(results),
        reading=" ".join(_reading(results)),
        curves=curves(results),
        sections=[_section(result) for result in results],
    )  # fmt: skip
    write_text(path, text)
    return path


def verdicts(results: Sequence[EvaluationResult]) -> list[str]:
    """A sentence for each result that has one."""
    found = (verdict(result.source.name, result.to_json()["metrics"]) for result in results)
    return [sentence for sentence in found if sentence]


def write_default_page(results: Sequence[EvaluationResult]) -> Path:
    """The page in its run where one run was measured, else, or where that is read-only, in the working folder.

    Raises KaoganError.
    """
    run = results[0].source.run if len(results) == 1 else None
    if run is None:
        return write_page(results, Path(PAGE))
    try:
        return write_page(results, run / PAGE)
    except KaoganError as error:
        if not is_denied(error):
            raise
        return write_page(results, Path(f"{run.resolve().name}-{PAGE}"))


def _reading(results: Sequence[EvaluationResult]) -> list[str]:
    """How to read each of the metrics in the table."""
    metrics = (metric_of(key) for key in tables.row_keys(results))
    return list(dict.fromkeys(metric.reading for metric in metrics if metric is not None))


def curves(results: Sequence[EvaluationResult]) -> list[dict[str, str]]:
    """Fréchet distances along the training, of runs that were measured more than once on the same pictures."""
    found = []
    for key in (key for key in tables.row_keys(results) if key.startswith("fid/")):
        drawn = {}
        for result in results:
            run = result.source.run
            points = curve_plots.history(metrics_lines(run), key) if run else []
            if len(points) > 1:
                drawn[result.source.name] = points
        if drawn:
            row = tables.first_row(results, key)
            png = curve_plots.png(curve_plots.figure(drawn, row.name, perfect=row.real))
            found.append({"uri": data_uri(png, "png"), "caption": f"{row.name} by images"})
    return found


def _section(result: EvaluationResult) -> dict[str, Any]:
    source = result.source
    first = source.pictures(range(min(GRID, source.count)))
    return {
        "name": source.name,
        "facts": tables.facts_text(source.facts),
        "notes": [*source.notes, *result.notes],
        "grid": picture_uri(grid(first, COLUMNS)),
        "caption": f"the first {len(first)} pictures of seed {result.seed}",
        "illustrations": [_illustration(result, each) for each in result.illustrations.values()],
    }


def _illustration(result: EvaluationResult, shown: Illustration) -> dict[str, Any]:
    if isinstance(shown, PicturePairs):
        real = np.asarray(result.reference.pictures.images[shown.real])
        sheet = side_by_side(result.source.pictures(shown.generated.tolist()), real, 8)
        return {"title": shown.title, "uri": picture_uri(sheet), "caption": shown.caption}
    return {"title": shown.title, "counts": shown.counts, "labels": shown.values}


def side_by_side(left: Pictures, right: Pictures, columns: int, gap: int = 2) -> np.ndarray:
    """Each picture with its partner to the right of it, ``columns`` pairs a row."""
    return grid(np.concatenate([left, right], 2), columns, 3 * gap)


def markdown(results: Sequence[EvaluationResult]) -> str:
    """A table with a line for each source, for documents."""
    keys = tables.row_keys(results)
    known = [tables.first_row(results, key) for key in keys]
    heads = [tables.heading(row.name, row.better) for row in known]
    lines = [f"| | pictures | {' | '.join(heads)} |", f"|---|---|{'---|' * len(heads)}"]
    for result in results:
        cells = []
        for key in keys:
            row = result.rows.get(key)
            shown = tables.cell(row.estimate if row else None, mark=tables.mark(row))
            cells.append("–" if shown is None else f"{shown.value} ({shown.interval})")
        lines.append(f"| {result.source.name} | {result.source.count:,} | {' | '.join(cells)} |")
    lines.append(f"| real against real | | {' | '.join(tables.real_value(results, key) for key in keys)} |")
    if tables.marked(results):
        lines += ["", TRAINED_FOOTNOTE]
    return "\n".join(lines) + "\n"
