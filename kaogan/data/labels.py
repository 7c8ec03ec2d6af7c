"""Label tables: columns of text about pictures, their cleaning, and the attributes chosen from them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
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
    chosen, notes = choose_values(
        {name: Counter(cells) for name, cells in table.columns.items()}, table.where, attributes
    )
    for name in merge or {}:
        if name not in chosen:
            raise UsageError(f"cannot merge values of '{name}': not among the attributes{nearest(name, chosen)}")
    columns, values = [], []
    for name, ordered in chosen.items():
        numbers, known = _numbers(table.columns[name], ordered)
        if merge and name in merge:
            numbers, known = _merged(name, numbers, known, merge[name])
        columns.append(numbers)
        values.append(known)
    count = len(next(iter(table.columns.values()), ()))
    labels = np.stack(columns, 1) if columns else np.empty((count, 0), np.int64)
    return labels, Schema.from_labels(list(chosen), values, labels), [*table.notes, *notes]


def choose_values(
    columns: Mapping[str, Mapping[str, int]], where: str, attributes: Sequence[str]
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The chosen attributes with their values in order, and notes on columns that are none. ``columns`` holds how many
    pictures have each value ("" unknown). Raises UsageError for a name that is not there or is no label."""
    notes: list[str] = []
    names: dict[str, None] = {}
    for wanted in attributes:
        if wanted == AUTO:
            for name, counts in columns.items():
                if reason := _not_a_label(name, counts, MAX_VALUES_AUTO):
                    if not _is_confidence(name, columns):
                        notes.append(f"column {shown(name)} ignored: not a label ({reason})")
                else:
                    names[name] = None
            continue
        if wanted not in columns:
            hint = nearest(wanted, columns)
            listed = f"; columns: {', '.join(columns)}" if columns and "choose" not in hint else ""
            lacks = "" if columns else " (it has neither labels nor one sub-folder per class)"
            raise UsageError(f"unknown attribute '{wanted}' in {where}{hint}{listed}{lacks}")
        if reason := _not_a_label(wanted, columns[wanted], MAX_VALUES, named=True):
            raise UsageError(f"column '{wanted}' of {where} is not a label ({reason}); choose another")
        names[wanted] = None
    return {name: _order(name, columns[name]) for name in names}, notes


def columns_beside(columns: Sequence[str], key: str) -> tuple[list[str], list[str]]:
    """The columns that a table can hold beside ``key``, its column of the pictures' names, and notes on the others: to
    a reader, names that differ in case or width only are one."""
    kept: list[str] = []
    notes: list[str] = []
    taken = {_folded(key): f"'{key}' names the pictures here"}
    for name in columns:
        if why := taken.get(_folded(name)):
            notes.append(f"column '{shown(name)}' left out: {why}; rename it")
        else:
            taken[_folded(name)] = f"'{shown(name)}' is there already"
            kept.append(name)
    return kept, notes


def _not_a_label(name: str, counts: Mapping[str, int], most: int, named: bool = False) -> str | None:
    values = set(counts) - {""}
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
    if len(values) > _FEW and all(counts[value] == 1 for value in values):
        return "another value for every picture"
    if (name.lower() in MEASURES or name.lower().endswith(("_conf", "_score", "_id"))) and _all_numbers(values):
        return "a measure"
    return None


def _is_confidence(name: str, columns: Collection[str]) -> bool:
    """A column that ``kaogan prepare`` writes beside a tag."""
    return name.removesuffix("_conf") in columns and name.endswith("_conf")


def _all_numbers(values: set[str]) -> bool:
    try:
        return all(float(value) == float(value) for value in values)
    except ValueError:
        return False


def _is_integer(value: str) -> bool:
    return value.lstrip("+-").isdecimal()


def _order(name: str, cells: Iterable[str]) -> tuple[str, ...]:
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
