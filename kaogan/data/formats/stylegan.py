"""StyleGAN format: an uncompressed zip (or a folder) of square PNGs with a ``dataset.json``, as of NVIDIA's tool.

A label is a number of a class or a list of numbers, which may be multi-hot. Sets of several attributes are written as
such lists, one slice an attribute; a list ``attributes`` beside the labels, which NVIDIA's reader does not look at,
keeps their names.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kaogan.core.errors import KaoganError
from kaogan.data.formats.base import FORMATS, Encoded, Format, Job, read_json
from kaogan.data.labels import CLASS, LabelTable, count_of
from kaogan.data.layout import Layout, entry_names, folder_of, top_side, whole
from kaogan.data.sources import Source

INDEX = "dataset.json"
_START = (1980, 1, 1, 0, 0, 0)  # the first time a zip can tell, so that the same set gives the same file
Attributes = Mapping[str, Sequence[str]]


class StyleGan(Format):
    name = "stylegan"
    title = "NVIDIA's dataset.json zip of square PNGs, for StyleGAN2 and StyleGAN3"
    needs = f"{INDEX} with 'labels'"

    def layout(self, source: Source) -> Layout | None:
        name = top_side(source, INDEX)
        if name is None:
            return None
        index = read_json(source, name)
        if not isinstance(index, dict) or "labels" not in index:  # that of a prepared set, say
            return None
        names = entry_names(source)
        where, folder = source.path / name, folder_of(name)
        notes: list[str] = []
        table = _table(where, index, [each.removeprefix(folder) for each in names], notes)
        return whole(source, LabelTable(table, str(where), notes), names, [name])

    def write(self, job: Job, out: Path) -> None:
        attributes = job.attributes
        labels: list[tuple[str, dict[str, str]]] = []
        side = 0
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            for index, picture in enumerate(job.pictures(("PNG",), plain=True)):
                side = _checked(picture, side)
                name = f"{index:08d}"[:5] + f"/img{index:08d}.png"
                archive.writestr(zipfile.ZipInfo(name, _START), picture.data)
                labels.append((name, {key: picture.labels.get(key, "") for key in attributes}))
            text = json.dumps(_index(job, labels, attributes))
            archive.writestr(zipfile.ZipInfo(INDEX, _START), text)


def _checked(picture: Encoded, side: int) -> int:
    """The side, the same for all. Raises KaoganError for what StyleGAN's tools would refuse."""
    width, height = picture.size
    if width != height or width & (width - 1) or (side and width != side):
        power = 1 << max(2, min(width, height).bit_length() - 1)
        rule = "squares of a power of two px" if not side or width == height == side else f"pictures of {side} x {side}"
        raise KaoganError(
            f"{picture.name} is {width} x {height} px; StyleGAN needs {rule}, all of one size: "
            f"give --size {side or power}"
        )
    return width


def _index(job: Job, labels: Sequence[tuple[str, dict[str, str]]], attributes: Attributes) -> dict[str, Any]:
    if not attributes:
        return {"labels": None}
    known = [{"name": name, "values": list(values)} for name, values in attributes.items()]
    numbers = {name: {value: number for number, value in enumerate(values)} for name, values in attributes.items()}
    unknown = sum("" in cells.values() for _, cells in labels)
    if len(attributes) == 1 and not unknown:
        (name,) = attributes
        return {"labels": [[file, numbers[name][cells[name]]] for file, cells in labels], "attributes": known}
    if unknown:
        job.notes.append(f"{unknown:,} pictures with an unknown label: zeros in its place")
    rows = []
    for file, cells in labels:
        code = [float(cells[name] == value) for name, values in attributes.items() for value in values]
        rows.append([file, code])
    return {"labels": rows, "attributes": known}


def _table(where: Path, index: Mapping[str, Any], names: Sequence[str], notes: list[str]) -> dict[str, list[str]]:
    labels = index["labels"]
    if labels is None:
        return {}
    try:
        by_name = {str(name).replace("\\", "/"): label for name, label in dict(labels).items()}
    except (TypeError, ValueError):
        raise KaoganError(f"{where}: 'labels' is not a list of [name, label]") from None
    found = [by_name[name] for name in names if name in by_name]
    if not found:
        raise KaoganError(f"{where} names none of the pictures here")
    if twice := len(labels) - len(by_name):
        notes.append(f"{count_of(twice, 'label')} of {where} repeat a picture: the last one counts")
    if missing := len(by_name) - len(found):
        notes.append(f"{count_of(missing, 'label')} of {where} name no picture here")
    if lacking := len(names) - len(found):
        notes.append(f"{count_of(lacking, 'picture')} without a label in {where}: labels unknown")
    attributes = _attributes(where, index)
    if all(type(label) is int for label in found):
        if len(attributes) > 1 or any(label < 0 for label in found):
            raise KaoganError(f"{where}: a label is neither a class from 0 up nor a list of numbers")
        (name, values), *_ = [*attributes.items(), (CLASS, ())]
        return {name: [_class(where, values, by_name[key]) if key in by_name else "" for key in names]}
    size = len(found[0]) if isinstance(found[0], list) else 0
    try:
        labels = np.zeros((len(names), size))
        for row, key in enumerate(names):
            if key in by_name:
                labels[row] = np.asarray(by_name[key], np.float64).reshape(size)
        if not size or not np.isfinite(labels).all():
            raise ValueError
    except (ValueError, TypeError):
        raise KaoganError(f"{where}: labels must all be classes, or all lists of numbers of one length") from None
    return _columns(where, labels, attributes)


def _attributes(where: Path, index: Mapping[str, Any]) -> dict[str, list[str]]:
    try:
        return {str(item["name"]): [str(value) for value in item["values"]] for item in index.get("attributes") or []}
    except (TypeError, KeyError):
        raise KaoganError(f"{where}: 'attributes' is not a list of names with values") from None


def _class(where: Path, values: Sequence[str], number: int) -> str:
    if not values:
        return str(number)
    if number >= len(values):
        raise KaoganError(f"{where}: class {number} of {len(values)}")
    return values[number]


def _columns(where: Path, labels: np.ndarray, attributes: Attributes) -> dict[str, list[str]]:
    """Lists of numbers as columns: by the names kept with them, else one class if one-hot, else each number its own."""
    one_hot = bool(np.isin(labels, (0, 1)).all() and (labels.sum(1) <= 1).all())
    if not attributes and one_hot:
        attributes = {CLASS: [str(number) for number in range(labels.shape[1])]}
    if not attributes:
        return {f"label_{i}": [f"{value:g}" for value in labels[:, i]] for i in range(labels.shape[1])}
    if sum(map(len, attributes.values())) != labels.shape[1]:
        raise KaoganError(f"{where}: 'attributes' has other sizes than the labels ({labels.shape[1]} numbers)")
    table, start = {}, 0
    for name, values in attributes.items():
        hot = labels[:, start : start + len(values)] > 0.5
        table[name] = [values[row.argmax()] if row.sum() == 1 else "" for row in hot]
        start += len(values)
    return table


FORMATS.register(StyleGan.name, StyleGan())
