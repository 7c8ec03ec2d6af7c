"""The later ACGAN's set (system A): ``images/{stem}.jpg``, ``labels.pkl`` and a JSON for each attribute.

The pickle is a dict from a file's stem to (eyes, hair, year), each a number or None; the JSON files map names to these
numbers, in alphabetical order.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kaogan.core.errors import KaoganError
from kaogan.core.schema import EYES, HAIR
from kaogan.data.formats.base import (
    Collection,
    Job,
    collect,
    has_file,
    read_json,
    relative_to,
    safe_name,
    side_file,
    write_file,
)
from kaogan.data.formats.pickles import read_pickle
from kaogan.data.sources.base import open_source

NAME = "acgan-new"
TITLE = "the later ACGAN: images/, labels.pkl, eye_label.json, hair_label.json, year_label.json"
WRITES_FILE = False
LABELS = "labels.pkl"
FILES = {"eyes": "eye_label.json", "hair": "hair_label.json", "year": "year_label.json"}  # in the order of the tuple
COLOURS = {"eyes": sorted(EYES), "hair": sorted(HAIR)}


def detect(path: Path) -> bool:
    return has_file(path, LABELS)


@contextmanager
def read(path: Path) -> Iterator[Collection]:
    with open_source(path) as source:
        labels = _labels(path)
        names = relative_to([entry.name for entry in source.listing.entries], "")
        table = {column: [""] * len(names) for column in FILES}
        meanings = [_meanings(path, column) for column in FILES]
        labelled = 0
        for row, name in enumerate(names):
            numbers = labels.get(PurePosixPath(name).stem)
            if numbers is None:
                continue
            labelled += 1
            for cells, meaning, number in zip(table.values(), meanings, numbers, strict=True):
                cells[row] = _name_of(number, meaning, f"{path / LABELS}, {PurePosixPath(name).stem}")
        notes = []
        if labelled < len(names):
            notes.append(f"{len(names) - labelled:,} pictures without an entry in {LABELS}: labels unknown")
        if labelled < len(labels):
            notes.append(f"{len(labels) - labelled:,} entries of {LABELS} name no picture here")
        used = {name: cells for name, cells in table.items() if any(cells)}
        yield collect(source, used, notes, names=names, side=[LABELS, *FILES.values()])


def write(job: Job, out: Path) -> None:
    numbers = numbering(job)
    labels: dict[str, tuple[int | None, ...]] = {}
    taken: set[str] = set()
    for picture in job.pictures(("JPEG",), plain=True):
        name = safe_name(picture.name, ".jpg", taken, flat=True)
        write_file(out / "images" / name, picture.data)
        labels[name.removesuffix(".jpg")] = tuple(
            numbers[column].get(picture.labels.get(column, "")) for column in FILES
        )
    write_file(out / LABELS, pickle.dumps(labels, protocol=2))  # the program reads it with pickle.load
    for column, file in FILES.items():
        write_file(out / file, json.dumps(numbers[column], ensure_ascii=False, indent=1).encode())


def numbering(job: Job) -> dict[str, dict[str, int]]:
    """For eyes, hair and year: value -> number, alphabetical, all of the known colours. Notes what gets lost."""
    if left := [name for name in job.attributes if name not in FILES]:
        job.notes.append(f"labels left out, this format has eyes, hair and year only: {', '.join(left)}")
    numbers = {}
    for column in FILES:
        values = job.attributes.get(column, ())
        known = COLOURS.get(column, [])
        ordered = known if values and set(values) <= set(known) else sorted(values) if known else list(values)
        numbers[column] = {value: number for number, value in enumerate(ordered)}
    return numbers


def _labels(path: Path) -> Mapping[str, tuple[Any, ...]]:
    data = side_file(path, LABELS)
    if data is None:
        raise KaoganError(f"{path} holds no {LABELS}; name the folder that it lies in")
    labels = read_pickle(data, str(path / LABELS))
    sound = isinstance(labels, dict) and all(
        isinstance(stem, str) and isinstance(entry, tuple | list) and len(entry) == len(FILES)
        for stem, entry in labels.items()
    )
    if not sound:
        raise KaoganError(f"{path / LABELS} is not a dict from a file's stem to (eyes, hair, year)")
    return labels


def _meanings(path: Path, column: str) -> dict[int, str]:
    """Number -> name, from the JSON or, without one, the alphabetical colours; empty: numbers are their own names."""
    mapping = read_json(path, FILES[column])
    if mapping is None:
        return dict(enumerate(COLOURS.get(column, [])))
    if not isinstance(mapping, dict) or not all(type(number) is int for number in mapping.values()):
        raise KaoganError(f"{path / FILES[column]} does not map names to numbers")
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
