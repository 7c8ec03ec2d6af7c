"""Label tables: columns of text about pictures, their cleaning, and the attributes chosen from them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kaogan.core.errors import UsageError, nearest
from kaogan.core.schema import EYES, HAIR, UNKNOWN, Schema
from kaogan.core.text import shown

AUTO = "auto"
CLASS = "class"
MAX_VALUES_AUTO, MAX_VALUES = 64, 1000
_FEW = 8  # values that may all be different by chance
# Numbers about a picture rather than names of what it shows.
MEASURES = frozenset(
    [*"xywh", "x0", "y0", "x1", "y1", "x2", "y2", "left", "top", "right", "bottom", "width", "height"]
).union(("id", "index", "score", "conf"))
_KNOWN_ORDERS = {"hair": HAIR, "eyes": EYES}
_BLANK = frozenset({"", "unknown"})
# How pandas, NumPy, R, spreadsheets and people write that a value is missing.
_MISSING = frozenset(re.findall(r"\S+", r"nan -nan none null nil na n/a n.a. #na nat undefined missing ? \n")).union(
    ("#n/a n/a", "not available", "not applicable", "no data")
)
# Errors of spreadsheets and of C, and dashes.
_MISSING_FORMS = re.compile(
    r"#(value|ref|div/0|name|num|null|n/a|spill|calc|error|unknown)[!?]?|-?1\.#(ind|qnan)|[-\u2010-\u2015\u2212.?]+"
)
_ROW_NUMBERS = re.compile(r"Unnamed: \d+(\.\d+)?")  # the header that pandas gives to the index it wrote


@dataclass
class LabelTable:
    """Columns of text, one cell a picture ("" where unknown), and notes for the user."""

    columns: dict[str, list[str]]
    where: str
    notes: list[str] = field(default_factory=list)


def cleaned(table: LabelTable) -> LabelTable:
    """The table with one spelling for each value: missing ones are "", 2000.0 is 2000, Pink and PINK are pink.

    Columns of row numbers are dropped. ``notes`` lists every change.
    """
    notes = list(table.notes)
    columns: dict[str, list[str]] = {}
    missing: Counter[str] = Counter()
    for header, cells in table.columns.items():
        name = header if (plain := _plain(header)) in table.columns else plain
        if not name.strip() or _ROW_NUMBERS.fullmatch(name):
            if any(cells):
                notes.append(f"column '{shown(name.strip())}' of {table.where} ignored: row numbers")
            continue
        counts = Counter(cells)  # each different value is looked at once: a set may have millions of cells
        becomes = {cell: _known(cell, count, missing) for cell, count in counts.items()}
        known = [becomes[cell] for cell in cells] if any(a != b for a, b in becomes.items()) else list(cells)
        columns[name] = _one_spelling(name, known, table.where, notes)
    if missing:
        words = ", ".join(f"'{shown(word)}'" for word, _ in missing.most_common(3))
        notes.append(f"{count_of(missing.total(), 'cell')} of {table.where} read as unknown ({words})")
    return LabelTable(columns, table.where, notes)


def _known(cell: str, count: int, missing: Counter[str]) -> str:
    cell = _plain(cell)
    lower = _folded(cell)
    if lower in _BLANK:
        return ""
    bare = lower.strip("()<>[]{}")
    if lower in _MISSING or bare in _MISSING or bare in _BLANK or _MISSING_FORMS.fullmatch(lower):
        missing[cell] += count
        return ""
    return cell


def _plain(text: str) -> str:
    """Without blanks around it and characters that nobody sees; what a terminal would obey is shown as such."""
    if text.isascii() and text.isprintable():
        return text.strip()
    kept = (each for each in text if each == "\u200d" or unicodedata.category(each) != "Cf")  # the joiner of emoji
    return "".join(each if each in "\n\t" else shown(each) for each in kept).strip()


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _one_spelling(name: str, cells: list[str], where: str, notes: list[str]) -> list[str]:
    counts = Counter(cells)
    del counts[""]
    if len(counts) > MAX_VALUES:
        return cells
    whole = all(_WHOLE.fullmatch(value) for value in counts)
    if whole and any("." in value for value in counts):  # integers that a gap in the column made pandas write so
        cells = [cell.partition(".")[0] for cell in cells]
        counts = Counter(cells)
        del counts[""]
    groups: dict[str, list[str]] = {}
    for value in counts:
        alike = _ZEROS.sub(r"\1", value) if whole else _folded(value)  # 01 and 1 are one number
        groups.setdefault(alike, []).append(value)
    becomes = {}
    for spellings in groups.values():
        if len(spellings) > 1:
            known = _KNOWN_ORDERS.get(name, ())
            best = min(spellings, key=lambda value: (value not in known, -counts[value], value))
            becomes.update(dict.fromkeys(spellings, best))
            others = ", ".join(f"'{shown(value)}'" for value in sorted(set(spellings) - {best}))
            notes.append(f"{shown(name)} {others} read as '{shown(best)}' ({where})")
    return [becomes.get(cell, cell) for cell in cells] if becomes else cells


_WHOLE, _ZEROS = re.compile(r"[+-]?\d+(\.0*)?"), re.compile(r"^\+?(-?)0*(?=\d)")


def choose_attributes(
    table: LabelTable, attributes: Sequence[str], merge: Mapping[str, Mapping[str, Sequence[str]]] | None
) -> tuple[np.ndarray, Schema, list[str]]:
    """Labels int64 (N, K), -1 unknown; their schema; notes. Raises UsageError for a name that is not there."""
    notes = list(table.notes)
    names: list[str] = []
    for wanted in attributes:
        if wanted == AUTO:
            for name, cells in table.columns.items():
                if reason := _not_a_label(name, cells, MAX_VALUES_AUTO):
                    if not _is_confidence(name, table):
                        notes.append(f"column {shown(name)} ignored: not a label ({reason})")
                elif name not in names:
                    names.append(name)
            continue
        if wanted not in table.columns:
            hint = nearest(wanted, table.columns)
            listed = f"; columns: {', '.join(table.columns)}" if table.columns and "choose" not in hint else ""
            lacks = "" if table.columns else " (it has neither labels nor one sub-folder per class)"
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
    if len(values) > _FEW and len(values) == sum(map(bool, cells)):
        return "another value for every picture"
    if (name.lower() in MEASURES or name.lower().endswith(("_conf", "_score", "_id"))) and _all_numbers(values):
        return "a measure"
    return None


def _is_confidence(name: str, table: LabelTable) -> bool:
    """A column that ``kaogan prepare`` writes beside a tag."""
    return name.removesuffix("_conf") in table.columns and name.endswith("_conf")


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


def count_of(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
