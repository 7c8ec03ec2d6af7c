"""kaogan's own format: ``images/`` with a ``labels.csv`` beside it; every column is carried over."""

from __future__ import annotations

from pathlib import Path

from kaogan.core.atomic_io import write_text
from kaogan.core.text import shown
from kaogan.data.decoding import FORMATS as PICTURE_FORMATS
from kaogan.data.formats.base import FORMATS, Format, Job, csv_text, safe_name, write_file
from kaogan.data.label_files import FILE, PictureNames, read_csv
from kaogan.data.labels import LabelTable
from kaogan.data.layout import Layout, entry_names, folder_of, relative_to, top_side, whole
from kaogan.data.sources import LABELS, Source

SIDE = ("dataset.json", "metadata.csv", "report.html", "README.md")  # what a prepared set has beside its pictures


class KaoganSet(Format):
    name = "kaogan"
    title = "images/ and labels.csv, what 'kaogan train' and 'kaogan prepare' use"
    needs = LABELS

    def layout(self, source: Source) -> Layout | None:
        top = top_side(source, LABELS)
        if top is None:
            return None
        names, folder = entry_names(source), folder_of(top)
        return whole(source, labels_csv(source, top, names), relative_to(names, folder), SIDE)

    def write(self, job: Job, out: Path) -> None:
        columns = job.columns(FILE)
        rows, taken = [[FILE, *columns]], set[str]()
        for picture in job.pictures(PICTURE_FORMATS):
            name = safe_name(picture.name, picture.suffix, taken)
            write_file(out / "images" / name, picture.data)
            rows.append([name, *(picture.labels.get(column, "") for column in columns)])
        if columns:
            write_text(out / LABELS, csv_text(rows))


def labels_csv(source: Source, name: str, names: list[str]) -> LabelTable:
    """The rows of the labels.csv called ``name``, one for each of ``names``. Raises KaoganError."""
    found = PictureNames(names, [each for each, _ in source.listing.skipped], folder_of(name))
    return read_csv(source.read_side(name), f"{source.path}/{shown(name)}", found, len(names))


FORMATS.register(KaoganSet.name, KaoganSet())
