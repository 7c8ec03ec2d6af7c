"""Hugging Face's imagefolder: pictures with a ``metadata.csv``, for ``datasets.load_dataset("imagefolder")``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kaogan.core.atomic_io import write_text
from kaogan.core.errors import KaoganError
from kaogan.data.formats.base import (
    Collection,
    Job,
    collect,
    csv_text,
    has_file,
    relative_to,
    safe_name,
    side_file,
    write_file,
)
from kaogan.data.labels import FILE, read_table
from kaogan.data.sources.base import open_source

NAME = "huggingface"
TITLE = "pictures with a metadata.csv, the imagefolder of Hugging Face's datasets"
WRITES_FILE = False
METADATA, FILE_NAME = "metadata.csv", "file_name"
KINDS = ("PNG", "JPEG", "WEBP")


def detect(path: Path) -> bool:
    return has_file(path, METADATA)


@contextmanager
def read(path: Path) -> Iterator[Collection]:
    with open_source(path) as source:
        data = side_file(path, METADATA)
        if data is None:
            raise KaoganError(f"{path} holds no {METADATA}; name the folder that it lies in")
        names = [entry.name for entry in source.listing.entries]
        others = [name for name, _ in source.listing.skipped]
        table = read_table(_with_our_header(data), f"{path}/{METADATA}", "", names, others)
        yield collect(source, table.columns, table.notes, names=relative_to(names, ""), side=[METADATA, "README.md"])


def write(job: Job, out: Path) -> None:
    columns = job.columns()
    if FILE_NAME in columns:
        raise KaoganError(f"a column is named '{FILE_NAME}', which means the picture here; rename it")
    rows, taken = [[FILE_NAME, *columns]], set[str]()
    for picture in job.pictures(KINDS):
        name = "images/" + safe_name(picture.name, picture.suffix, taken)
        write_file(out / name, picture.data)
        rows.append([name, *(picture.labels.get(column, "") for column in columns)])
    write_text(out / METADATA, csv_text(rows))


def _with_our_header(data: bytes) -> bytes:
    """The same table with ``file_name`` called ``file``. What is wrong with it, the reader of tables will say."""
    first, newline, rest = data.partition(b"\n")
    try:
        cells = next(csv.reader(io.StringIO(first.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error, StopIteration):
        return data
    cells = [FILE if cell.strip() == FILE_NAME else cell for cell in cells]
    return csv_text([cells]).rstrip("\n").encode() + newline + rest
