"""Format of the later ACGAN program: ``images/{stem}.jpg``, ``labels.pkl`` and a JSON for each attribute.

The pickle is a dict from a file's stem to (eyes, hair, year), each a number or None; the JSON files map names to these
numbers, in alphabetical order.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from kaogan.core.errors import KaoganError
from kaogan.core.schema import EYES, HAIR
from kaogan.data.formats.base import FORMATS, Format, read_json
from kaogan.data.labels import LabelTable
from kaogan.data.layout import Layout, entry_names, folder_of, relative_to, top_side, whole
from kaogan.data.sources import Source

LABELS = "labels.pkl"
FILES = {"eyes": "eye_label.json", "hair": "hair_label.json", "year": "year_label.json"}  # in the order of the tuple
COLOURS = {"eyes": sorted(EYES), "hair": sorted(HAIR)}


class AcganNew(Format):
    name = "acgan-new"
    title = "the later ACGAN: images/, labels.pkl, eye_label.json, hair_label.json, year_label.json"
    needs = LABELS

    def layout(self, source: Source) -> Layout | None:
        file = top_side(source, LABELS)
        if file is None:
            return None
        where = str(source.path / file)
        labels = _labels(source.read_side(file), where)
        names = relative_to(entry_names(source), folder_of(file))
        table = {column: [""] * len(names) for column in FILES}
        meanings = [_meanings(source, folder_of(file), column) for column in FILES]
        labelled = 0
        for row, name in enumerate(names):
            numbers = labels.get(PurePosixPath(name).stem)
            if numbers is None:
                continue
            labelled += 1
            for cells, meaning, number in zip(table.values(), meanings, numbers, strict=True):
                cells[row] = _name_of(number, meaning, f"{where}, {PurePosixPath(name).stem}")
        notes = []
        if labelled < len(names):
            notes.append(f"{len(names) - labelled:,} pictures without an entry in {LABELS}: labels unknown")
        if labelled < len(labels):
            notes.append(f"{len(labels) - labelled:,} entries of {LABELS} name no picture here")
        used = {name: cells for name, cells in table.items() if any(cells)}
        return whole(source, LabelTable(used, where, notes), names)


def _labels(data: bytes, where: str) -> Mapping[str, tuple[Any, ...]]:
    from kaogan.core.safe_pickle import read_pickle  # imports PyTorch

    labels = read_pickle(data, where)
    sound = isinstance(labels, dict) and all(
        isinstance(stem, str) and isinstance(entry, tuple | list) and len(entry) == len(FILES)
        for stem, entry in labels.items()
    )
    if not sound:
        raise KaoganError(f"{where} is not a dict from a file's stem to (eyes, hair, year)")
    return labels


def _meanings(source: Source, folder: str, column: str) -> dict[int, str]:
    """Number -> name, from the JSON or, without one, the alphabetical colours; empty: numbers are their own names."""
    file = folder + FILES[column]
    if file not in source.listing.side:
        return dict(enumerate(COLOURS.get(column, [])))
    mapping = read_json(source, file)
    if not isinstance(mapping, dict) or not all(type(number) is int for number in mapping.values()):
        raise KaoganError(f"{source.path / file} does not map names to numbers")
    return {number: str(name) for name, number in mapping.items()}


def _name_of(number: Any, meaning: Mapping[int, str], where: str) -> str:
    if number is None:
        return ""
    if isinstance(number, str):
        return number
    if isinstance(number, int | np.integer) and not isinstance(number, bool):
        name = meaning.get(int(number)) if meaning else str(int(number))
        if name is not None:
            return name
    raise KaoganError(f"{where}: '{number}' is no number of a known value")


FORMATS.register(AcganNew.name, AcganNew())
