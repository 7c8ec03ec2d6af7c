"""Labels of the sources of ``prepare``: one column an attribute, one cell a picture of all sources."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from kaogan.core.errors import KaoganError
from kaogan.data.formats import layout_of
from kaogan.data.formats.kaogan_set import labels_csv
from kaogan.data.labels import MEASURES, LabelTable, cleaned
from kaogan.data.layout import folder_of
from kaogan.data.sources import LABELS, Source


@dataclass
class SourceLabels:
    """Cells of text, "" where unknown."""

    columns: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    digest: str = ""

    def of(self, position: int) -> dict[str, str]:
        return {name: cells[position] for name, cells in self.columns.items() if cells[position]}


def read_labels(sources: list[Source], classes: bool) -> SourceLabels:
    """The labels of every source, as its format has them.

    Where there is a labels.csv, every one is read, each for the pictures in and below its folder, the deepest deciding.
    A table that cannot be read costs only itself and is told in ``notes``. Columns that measure the source picture
    (x, width, ...) are left behind: they are no longer true. ``classes``: where there are no labels, the sub-folder.
    """
    total = sum(len(source.listing.entries) for source in sources)
    labels, digest, start = SourceLabels(), hashlib.sha256(), 0
    for source in sources:
        labels.notes += source.listing.notes
        for table, places in _tables(source, classes, labels):
            table = cleaned(table)
            labels.notes += table.notes
            digest.update(repr((table.columns, list(places))).encode("utf-8", "surrogatepass"))
            _fill(labels, table.columns, places, start, total)
        start += len(source.listing.entries)
    labels.digest = digest.hexdigest()
    return labels


def _tables(source: Source, classes: bool, labels: SourceLabels) -> list[tuple[LabelTable, Sequence[int]]]:
    """(table, the entries that it is about) of each table of a source."""
    names = [entry.name for entry in source.listing.entries]
    found: list[tuple[LabelTable, Sequence[int]]] = []
    files = source.listing.side_named(LABELS)
    for file in files:
        below = [at for at, name in enumerate(names) if name.startswith(folder_of(file))]
        if not below:
            continue
        try:
            found.append((labels_csv(source, file, [names[at] for at in below]), below))
        except KaoganError as error:
            labels.notes.append(f"{error}; these labels are not used")
    if not files:
        try:
            layout, _ = layout_of(source, "yes" if classes else "no")
            found.append((layout.table, layout.indices))
        except KaoganError as error:
            labels.notes.append(f"{error}; these labels are not used")
    return found


def _fill(labels: SourceLabels, columns: dict[str, list[str]], places: Sequence[int], start: int, total: int) -> None:
    for name, cells in columns.items():
        if name.lower() in MEASURES or not any(cells):
            continue
        column = labels.columns.setdefault(name, [""] * total)
        for at, cell in zip(places, cells, strict=True):
            if cell:
                column[start + at] = cell
