"""Flat folder format: pictures in one folder and nothing else, as the Keras WGAN reads them."""

from __future__ import annotations

from pathlib import Path

from kaogan.data.formats.base import FORMATS, PLAIN, Format, Job, safe_name, write_file
from kaogan.data.labels import LabelTable
from kaogan.data.layout import Layout, entry_names, folders_of, whole, without_common_folder
from kaogan.data.sources import Source


class Flat(Format):
    name = "flat"
    title = "pictures in one folder, without labels: the Keras WGAN (--source)"
    needs = "pictures"

    def layout(self, source: Source) -> Layout | None:
        if len(folders_of(source.listing)) != 1:
            return None
        return whole(source, LabelTable({}, str(source.path)), without_common_folder(entry_names(source)))

    def write(self, job: Job, out: Path) -> None:
        job.drop_labels("this format")
        taken: set[str] = set()
        for picture in job.pictures(PLAIN, plain=True):
            write_file(out / safe_name(picture.name, picture.suffix, taken, flat=True), picture.data)


FORMATS.register(Flat.name, Flat())
