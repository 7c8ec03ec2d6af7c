"""The tables of a prepared set: labels.csv, metadata.csv, origins.csv, dropped.csv, doubtful.csv, dataset.json."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from kaogan.attributes import EYES, HAIR, UNKNOWN, Schema

Row = dict[str, str]
_FIRST = ("hair", "eyes")


def columns_of(rows: Iterable[Row]) -> list[str]:
    """hair and eyes, then the other labels, then the confidences, each in order of appearance."""
    seen = dict.fromkeys(name for row in rows for name, cell in row.items() if cell)
    sure = [name for name in seen if name.endswith("_conf")]
    labels = [name for name in seen if name not in sure]
    return [*(n for n in _FIRST if n in labels), *(n for n in labels if n not in _FIRST), *sure]


def labels_table(files: Sequence[str], rows: Sequence[Row], columns: Sequence[str], spelling: str = "file") -> str:
    return table(
        (spelling, *columns), ((file, *(row.get(c, "") for c in columns)) for file, row in _paired(files, rows))
    )


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


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


def _paired(files: Sequence[str], rows: Sequence[Row]) -> Iterable[tuple[str, Row]]:
    return zip(files, rows, strict=True)
