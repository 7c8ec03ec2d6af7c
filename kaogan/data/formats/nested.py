"""Pictures in folders of any depth and nothing else: StarsFace (system S), which walks ``dataset/NAME``."""

from __future__ import annotations

from pathlib import Path

from kaogan.data.formats import flat
from kaogan.data.formats.base import PLAIN, Job, folders_of, safe_name, write_file
from kaogan.data.sources.base import open_source

NAME = "nested"
TITLE = "pictures in folders of any depth, without labels: StarsFace (DATASET.NAME)"
WRITES_FILE = False

read = flat.read


def detect(path: Path) -> bool:
    with open_source(path) as source:
        return len(folders_of(source.listing)) > 1


def write(job: Job, out: Path) -> None:
    job.drop_labels("this format")
    taken: set[str] = set()
    for picture in job.pictures(PLAIN, plain=True):
        write_file(out / safe_name(picture.name, picture.suffix, taken), picture.data)
