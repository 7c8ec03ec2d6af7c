"""The tables of a prepared set: labels.csv, metadata.csv, origins.csv, dropped.csv, doubtful.csv, dataset.json."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kaogan.core.atomic_io import atomic
from kaogan.core.schema import EYES, HAIR, UNKNOWN, Schema

Row = dict[str, str]
_FIRST = ("hair", "eyes")


def columns_of(rows: Iterable[Row]) -> list[str]:
    """hair and eyes, then the other labels, then the confidences, each in order of appearance."""
    seen = dict.fromkeys(name for row in rows for name, cell in row.items() if cell)
    sure = [name for name in seen if name.endswith("_conf")]
    labels = [name for name in seen if name not in sure]
    return [*(n for n in _FIRST if n in labels), *(n for n in labels if n not in _FIRST), *sure]


def write_labels(
    path: Path, files: Sequence[str], rows: Sequence[Row], columns: Sequence[str], spelling: str = "file"
) -> None:
    cells = ((file, *(row.get(c, "") for c in columns)) for file, row in zip(files, rows, strict=True))
    write_table(path, (spelling, *columns), cells)


def write_table(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Row by row, so that a long table is never in memory; whole or not at all."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def schema(rows: Sequence[Row], columns: Sequence[str]) -> Schema:
    """The attributes with their priors; hair and eyes in kaogan's own order of values."""
    names, values, labels = [], [], []
    for name in columns:
        if name.endswith("_conf"):
            continue
        cells = [row.get(name, "") for row in rows]
        known = set(cells) - {""}
        order = {"hair": HAIR, "eyes": EYES}.get(name, ())
        chosen = tuple(order) if known <= set(order) else tuple(sorted(known))
        if not known or len(known) > 1000:
            continue
        position = {value: at for at, value in enumerate(chosen)}
        names.append(name)
        values.append(chosen)
        labels.append([position.get(cell, UNKNOWN) for cell in cells])
    return Schema.from_labels(names, values, np.array(labels, np.int64).reshape(len(names), len(rows)).T)


def counts_of(rows: Sequence[Row], name: str) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.get(name, "")] = counts.get(row.get(name, ""), 0) + 1
    return counts
