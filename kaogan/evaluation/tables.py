"""Numbers, intervals, cells and winners of result tables, for terminals and pages alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kaogan.evaluation.results import ARROWS, TRAINED_MARK, EvaluationResult, MetricRow
from kaogan.metrics.registry import Better, cost_of
from kaogan.metrics.stats.estimate import Estimate


@dataclass(frozen=True)
class Cell:
    """A number of a table as it is printed."""

    value: str
    interval: str
    best: bool = False


def number(value: float) -> str:
    """Four significant digits, fixed point; zero has no sign."""
    if not np.isfinite(value):
        return "–"
    digits = 0 if abs(value) >= 1000 else max(0, 3 - int(np.floor(np.log10(abs(value) or 1))))
    return f"{value:z,.{min(digits, 6)}f}"


def interval(estimate: Estimate) -> str:
    return f"{number(estimate.low)} … {number(estimate.high)}"


def cell(estimate: Estimate | None, best: bool = False, mark: str = "") -> Cell | None:
    return None if estimate is None else Cell(number(estimate.value) + mark, interval(estimate), best)


def heading(name: str, better: str) -> str:
    return f"{name} {ARROWS.get(better, '')}".strip()


def row_keys(results: Sequence[EvaluationResult]) -> list[str]:
    """Keys of all results, in order."""
    return list(dict.fromkeys(key for result in results for key in result.rows))


def first_row(results: Sequence[EvaluationResult], key: str) -> MetricRow:
    return next(result.rows[key] for result in results if key in result.rows)


def real_value(results: Sequence[EvaluationResult], key: str) -> str:
    """What real pictures reach, as text."""
    rows = (result.rows.get(key) for result in results)
    real = next((row.real for row in rows if row is not None and row.real is not None), None)
    return "–" if real is None else number(real)


def mark(row: MetricRow | None) -> str:
    return TRAINED_MARK if row is not None and row.trained_against else ""


def marked(results: Sequence[EvaluationResult]) -> bool:
    """Whether any row was measured with a network of the model's training."""
    return any(row.trained_against for result in results for row in result.rows.values())


def clear_winner(estimates: Sequence[Estimate | None], better: Better) -> int | None:
    """The position of the best estimate, if its interval touches no other's; None for fewer than two."""
    there = [(cost_of(better, each.value), place, each) for place, each in enumerate(estimates) if each is not None]
    if len(there) < 2 or not all(np.isfinite(each.value) for _, _, each in there):
        return None
    (_, best, first), *others = sorted(there, key=lambda item: item[:2])
    return None if any(first.overlaps(each) for _, _, each in others) else best


def winner_of(rows: Sequence[MetricRow | None]) -> int | None:
    """The clear winner among those rows that may decide: none where a model was trained on the network."""
    better = next(row.better for row in rows if row is not None)
    return clear_winner([row.estimate if row and not row.trained_against else None for row in rows], better)


def results_table(results: Sequence[EvaluationResult]) -> tuple[list[str], list[list[str | Cell | None]]]:
    """Head and rows: a line for each metric, a column for each result, real pictures last."""
    body: list[list[str | Cell | None]] = []
    for key in row_keys(results):
        rows = [result.rows.get(key) for result in results]
        known, winner = first_row(results, key), winner_of(rows)
        cells = [cell(row.estimate if row else None, place == winner, mark(row)) for place, row in enumerate(rows)]
        body.append([heading(known.name, known.better), *cells, real_value(results, key)])
    return ["", *(f"{result.source.name} ({result.source.count:,})" for result in results), "real"], body


def facts_text(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}" for key, value in facts.items())
