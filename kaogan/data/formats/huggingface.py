"""Hugging Face's imagefolder format: pictures with ``metadata.csv`` or ``metadata.jsonl`` in their folders."""

from __future__ import annotations

from pathlib import Path

from kaogan.core.atomic_io import write_text
from kaogan.core.text import shown
from kaogan.data.formats.base import FORMATS, Format, Job, csv_text, safe_name, write_file
from kaogan.data.label_files import PictureNames, read_csv, read_json_lines
from kaogan.data.labels import LabelTable
from kaogan.data.layout import Layout, entry_names, folder_of, relative_to, whole
from kaogan.data.sources import Source

METADATA, LINES, FILE_NAME = "metadata.csv", "metadata.jsonl", "file_name"
KINDS = ("PNG", "JPEG", "WEBP")


class HuggingFace(Format):
    name = "huggingface"
    title = "pictures with a metadata.csv, the imagefolder of Hugging Face's datasets"
    needs = f"{METADATA} or {LINES}"

    def layout(self, source: Source) -> Layout | None:
        files = [*source.listing.side_named(METADATA), *source.listing.side_named(LINES)]
        if not files:
            return None
        names = entry_names(source)
        table = _merged(source, files, names)
        return whole(source, table, relative_to(names, ""), [*files, "README.md"])

    def write(self, job: Job, out: Path) -> None:
        columns = job.columns(FILE_NAME)
        rows, taken = [[FILE_NAME, *columns]], set[str]()
        for picture in job.pictures(KINDS):
            name = "images/" + safe_name(picture.name, picture.suffix, taken)
            write_file(out / name, picture.data)
            rows.append([name, *(picture.labels.get(column, "") for column in columns)])
        write_text(out / METADATA, csv_text(rows))


def _merged(source: Source, files: list[str], names: list[str]) -> LabelTable:
    """A set that is split has such a file in each part, each for the pictures in and below its folder."""
    others = [name for name, _ in source.listing.skipped]
    columns: dict[str, list[str]] = {}
    notes: list[str] = []
    for file in files:
        folder = folder_of(file)
        below = [at for at, name in enumerate(names) if name.startswith(folder)]
        found = PictureNames([names[at] for at in below], others, folder)
        read = read_json_lines if file.endswith(LINES) else read_csv
        table = read(source.read_side(file), f"{source.path}/{shown(file)}", found, len(below))
        notes += table.notes
        for name, cells in table.columns.items():
            column = columns.setdefault(name, [""] * len(names))
            for at, cell in zip(below, cells, strict=True):
                column[at] = cell or column[at]
    where = f"{source.path}/{shown(files[0])}" + (f" and {len(files) - 1} more" if len(files) > 1 else "")
    return LabelTable(columns, where, notes)


FORMATS.register(HuggingFace.name, HuggingFace())
