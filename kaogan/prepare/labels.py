"""The labels that the sources bring along, one column an attribute, aligned with all their pictures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from kaogan.core.errors import KaoganError
from kaogan.data import labels as tables
from kaogan.data.sources.base import Source, shown


@dataclass
class Labels:
    """Cells of text, "" where unknown. ``files`` counts the pictures that are told of."""

    columns: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    digest: str = ""

    def of(self, position: int) -> dict[str, str]:
        return {name: cells[position] for name, cells in self.columns.items() if cells[position]}


def read_labels(sources: list[Source], classes: bool) -> Labels:
    """Every labels.csv of every source, each for the pictures in and below its folder, the deepest deciding.

    A table that cannot be read costs only itself and is told in ``notes``. Columns that measure the source picture
    (x, width, ...) are left behind: they are no longer true. ``classes``: where there is no table, the sub-folder.
    """
    total = sum(len(source.listing.entries) for source in sources)
    labels, digest, start = Labels(), hashlib.sha256(), 0
    for source in sources:
        names = [entry.name for entry in source.listing.entries]
        tops = sorted(source.listing.labels, key=lambda name: (name.count("/"), name))
        for top in tops:
            data = _bytes(source, top, labels)
            digest.update(data)
            folder = str(PurePosixPath(top).parent)
            prefix = "" if folder == "." else folder + "/"
            below = [at for at, name in enumerate(names) if name.startswith(prefix)]
            _merge(labels, source, top, data, prefix, below, names, start, total)
        if not tops and classes:
            found = tables.class_table(names, str(source.path))
            _fill(labels, found.columns, range(len(names)), start, total)
        start += len(names)
    labels.digest = digest.hexdigest()
    return labels


def _bytes(source: Source, name: str, labels: Labels) -> bytes:
    try:
        return source.read_labels(name)
    except KaoganError as error:
        labels.notes.append(str(error))
        return b""


def _merge(
    labels: Labels,
    source: Source,
    top: str,
    data: bytes,
    prefix: str,
    below: list[int],
    names: list[str],
    start: int,
    total: int,
) -> None:
    if not data or not below:
        return
    others = [name for name, _ in source.listing.skipped]
    try:
        table = tables.read_table(data, f"{source.path}/{shown(top)}", prefix, [names[at] for at in below], others)
    except KaoganError as error:
        labels.notes.append(f"{error}; these labels are not used")
        return
    labels.notes += table.notes
    _fill(labels, table.columns, below, start, total)


def _fill(labels: Labels, columns: dict[str, list[str]], places: range | list[int], start: int, total: int) -> None:
    for name, cells in columns.items():
        if name.lower() in tables.MEASURES or not any(cells):
            continue
        column = labels.columns.setdefault(name, [""] * total)
        for at, cell in zip(places, cells, strict=True):
            if cell:
                column[start + at] = cell
