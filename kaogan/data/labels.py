"""The labels of a set: from labels.csv, or from one sub-folder per class."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.core.schema import EYES, HAIR, UNKNOWN, Schema
from kaogan.data.sources.base import shown

AUTO = "auto"
CLASS = "class"
MAX_VALUES_AUTO, MAX_VALUES = 64, 1000
FILE = "file"
# Numbers about a picture rather than names of what it shows.
MEASURES = frozenset(
    [*"xywh", "x0", "y0", "x1", "y1", "x2", "y2", "left", "top", "right", "bottom", "width", "height"]
).union(("id", "index", "score", "conf"))
_NOTHING = frozenset({"", "unknown"})
_KNOWN_ORDERS = {"hair": HAIR, "eyes": EYES}


@dataclass
class Table:
    """Columns of text, one cell a picture ("" where unknown), and what there is to say about them."""

    columns: dict[str, list[str]]
    where: str
    notes: list[str]


def read_table(data: bytes, where: str, folder: str, names: Sequence[str], others: Sequence[str]) -> Table:
    """The rows of a labels.csv, brought into the order of ``names``.

    ``folder`` is where the file lies ("" or "set/"); its ``file`` column is relative to that folder or to ``images/``
    in it. ``others`` are files that exist but are not used: a row about one of them is no mistake.
    Raises KaoganError with the line number for a file that is not a table.
    """
    header, rows = _parse(data, where)
    at = header.index(FILE)
    known = {_plain(name): position for position, name in enumerate(names)}
    exact = {name: position for position, name in enumerate(names)}
    unused = {_plain(name) for name in others}
    columns = {name: [""] * len(names) for name in header if name not in (FILE, "")}
    seen: set[int] = set()
    twice = 0
    missing: list[str] = []
    for row in rows:
        candidates = [folder + "images/" + row[at], folder + row[at]]
        position = next((exact[c] for c in candidates if c in exact), None)
        if position is None:
            plain = [_plain(c) for c in candidates]
            position = next((known[c] for c in plain if c in known), None)
            if position is None:
                if not any(c in unused for c in plain):
                    missing.append(row[at])
                continue
        twice += position in seen
        seen.add(position)
        for name, cell in zip(header, row, strict=True):
            if name in columns:
                columns[name][position] = "" if cell.strip().lower() in _NOTHING else cell.strip()
    notes = []
    if rows and not seen:
        raise KaoganError(f"{where}: no row names a picture of this set (the first is '{shown(rows[0][at])}')")
    if missing:
        notes.append(f"{_count(len(missing), 'row')} of {where} name no picture here, as '{shown(missing[0])}'")
    if twice:
        notes.append(f"{_count(twice, 'row')} of {where} repeat a file: the last one counts")
    if lacking := len(names) - len(seen):
        notes.append(f"{_count(lacking, 'picture')} without a row in {where}: labels unknown")
    return Table(columns, where, notes)


def class_table(names: Sequence[str], where: str) -> Table:
    """The attribute ``class``: the sub-folder of each picture below the folder that holds them all."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    depth = 0
    while folders and all(len(f) > depth and f[depth] == folders[0][depth] for f in folders):
        depth += 1
    cells = [shown(f[depth]) if len(f) > depth else "" for f in folders]
    return Table({CLASS: cells} if len(set(cells) - {""}) > 1 else {}, where, [])


def choose(
    table: Table, attributes: Sequence[str], merge: Mapping[str, Mapping[str, Sequence[str]]] | None
) -> tuple[np.ndarray, Schema, list[str]]:
    """Labels int64 (N, K), -1 unknown; their schema; notes. Raises UsageError for a name that is not there."""
    notes = list(table.notes)
    names: list[str] = []
    for wanted in attributes:
        if wanted == AUTO:
            for name, cells in table.columns.items():
                if reason := _not_a_label(name, cells, MAX_VALUES_AUTO):
                    notes.append(f"column {name} ignored: not a label ({reason})")
                elif name not in names:
                    names.append(name)
            continue
        if wanted not in table.columns:
            hint = nearest(wanted, table.columns)
            listed = f"; columns: {', '.join(table.columns)}" if table.columns and "choose" not in hint else ""
            lacks = "" if table.columns else " (it has neither a labels.csv nor one sub-folder per class)"
            raise UsageError(f"unknown attribute '{wanted}' in {table.where}{hint}{listed}{lacks}")
        if reason := _not_a_label(wanted, table.columns[wanted], MAX_VALUES, named=True):
            raise UsageError(f"column '{wanted}' of {table.where} is not a label ({reason}); choose another")
        if wanted not in names:
            names.append(wanted)
    for name in merge or {}:
        if name not in names:
            raise UsageError(f"cannot merge values of '{name}': not among the attributes{nearest(name, names)}")
    columns, values = [], []
    for name in names:
        numbers, known = _numbers(table.columns[name], _order(name, table.columns[name]))
        if merge and name in merge:
            numbers, known = _merged(name, numbers, known, merge[name])
        columns.append(numbers)
        values.append(known)
    count = len(next(iter(table.columns.values()), ()))
    labels = np.stack(columns, 1) if columns else np.empty((count, 0), np.int64)
    return labels, Schema.from_labels(names, values, labels), notes


def _parse(data: bytes, where: str) -> tuple[list[str], list[list[str]]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise KaoganError(f"{where}, line {line}: not UTF-8 text; save it as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    rows: list[list[str]] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header(cells, where)
                continue
            if len(cells) > len(header):
                raise KaoganError(
                    f"{where}, line {reader.line_num}: {len(cells)} cells under {len(header)} columns; "
                    "put quotes around a cell that holds a comma"
                )
            cells += [""] * (len(header) - len(cells))
            cells[header.index(FILE)] = cells[header.index(FILE)].strip()
            rows.append(cells)
    except csv.Error as error:
        raise KaoganError(f"{where}, line {reader.line_num}: not a table of comma-separated cells ({error})") from error
    if header is None or not rows:
        raise KaoganError(f"{where} has no rows; it needs a line 'file,...' and one line a picture")
    return header, rows


def _header(cells: list[str], where: str) -> list[str]:
    header = [cell.strip() for cell in cells]
    if FILE not in header:
        found = ", ".join(shown(name) for name in header)
        raise KaoganError(f"{where}, line 1: no column named 'file' (found: {found}); columns are separated by commas")
    for name in header:
        if name and header.count(name) > 1:
            raise KaoganError(f"{where}, line 1: two columns are named '{name}'; rename one")
    return header


def _plain(name: str) -> str:
    """One spelling for names that look the same: composed accents, forward slashes, no leading ./"""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./").replace("/./", "/")


def _not_a_label(name: str, cells: Sequence[str], most: int, named: bool = False) -> str | None:
    values = set(cells) - {""}
    if not values:
        return "empty"
    if _all_numbers(values) and not all(_is_integer(value) for value in values):
        return "decimal numbers"
    if len(values) > most:
        return f"{len(values)} different values"
    if named:
        return None
    if len(values) < 2:
        return "one value only"
    if (name.lower() in MEASURES or name.lower().endswith(("_conf", "_score", "_id"))) and _all_numbers(values):
        return "a measure"
    return None


def _all_numbers(values: set[str]) -> bool:
    try:
        return all(float(value) == float(value) for value in values)
    except ValueError:
        return False


def _is_integer(value: str) -> bool:
    return value.lstrip("+-").isdecimal()


def _order(name: str, cells: Sequence[str]) -> tuple[str, ...]:
    values = set(cells) - {""}
    known = _KNOWN_ORDERS.get(name)
    if known and values <= set(known):
        return known
    return tuple(sorted(values, key=(lambda v: (float(v), v)) if _all_numbers(values) else lambda v: (v,)))


def _numbers(cells: Sequence[str], values: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    position = {value: number for number, value in enumerate(values)}
    return np.array([position.get(cell, UNKNOWN) for cell in cells], np.int64), values


def _merged(
    name: str, numbers: np.ndarray, values: tuple[str, ...], groups: Mapping[str, Sequence[str]]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """New classes out of groups of old ones; what no group names becomes unknown."""
    becomes = np.full(len(values) + 1, UNKNOWN, np.int64)  # the last place is for unknown, index -1
    for number, (group, members) in enumerate(groups.items()):
        for member in [members] if isinstance(members, str | int) else members:
            value = str(member)
            if value not in values:
                raise UsageError(f"cannot merge into '{group}': unknown {name} '{value}'{nearest(value, values)}")
            if becomes[values.index(value)] != UNKNOWN:
                raise UsageError(f"{name} '{value}' is merged twice; name it in one group only")
            becomes[values.index(value)] = number
    return becomes[numbers], tuple(str(group) for group in groups)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
