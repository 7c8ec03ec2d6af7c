"""One folder of pictures and nothing else: the Keras WGAN (system K)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kaogan.data.formats.base import (
    PLAIN,
    Collection,
    Job,
    collect,
    folders_of,
    safe_name,
    without_common_folder,
    write_file,
)
from kaogan.data.sources.base import open_source

NAME = "flat"
TITLE = "pictures in one folder, without labels: the Keras WGAN (--source)"
WRITES_FILE = False


def detect(path: Path) -> bool:
    with open_source(path) as source:
        return len(folders_of(source.listing)) == 1


@contextmanager
def read(path: Path) -> Iterator[Collection]:
    with open_source(path) as source:
        names = without_common_folder([entry.name for entry in source.listing.entries])
        yield collect(source, names=names)


def write(job: Job, out: Path) -> None:
    job.drop_labels("this format")
    taken: set[str] = set()
    for picture in job.pictures(PLAIN, plain=True):
        write_file(out / safe_name(picture.name, picture.suffix, taken, flat=True), picture.data)
