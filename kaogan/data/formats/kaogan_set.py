"""kaogan's own form: ``images/`` with a ``labels.csv`` beside it, a folder or a zip; every column is carried over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kaogan.core.atomic_io import write_text
from kaogan.data.dataset import table_of
from kaogan.data.decoding import FORMATS
from kaogan.data.formats.base import (
    Collection,
    Job,
    collect,
    csv_text,
    has_file,
    relative_to,
    safe_name,
    write_file,
)
from kaogan.data.labels import FILE
from kaogan.data.sources.base import LABELS, open_source

NAME = "kaogan"
TITLE = "images/ and labels.csv, what 'kaogan train' and 'kaogan prepare' use"
WRITES_FILE = False
SIDE = ("dataset.json", "metadata.csv", "report.html", "README.md")  # what a prepared set has beside its pictures


def detect(path: Path) -> bool:
    return has_file(path, LABELS, f"{path.stem}/{LABELS}")


@contextmanager
def read(path: Path) -> Iterator[Collection]:
    with open_source(path) as source:
        names = [entry.name for entry in source.listing.entries]
        table = table_of(source, names, [name for name, _ in source.listing.skipped])
        folder = source.listing.labels[0].removesuffix(LABELS) if source.listing.labels else ""
        yield collect(source, table.columns, table.notes, names=relative_to(names, folder), side=SIDE)


def write(job: Job, out: Path) -> None:
    columns = job.columns()
    rows, taken = [[FILE, *columns]], set[str]()
    for picture in job.pictures(FORMATS):
        name = safe_name(picture.name, picture.suffix, taken)
        write_file(out / "images" / name, picture.data)
        rows.append([name, *(picture.labels.get(column, "") for column in columns)])
    if columns:
        write_text(out / LABELS, csv_text(rows))
