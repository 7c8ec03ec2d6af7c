"""One sub-folder for each class: torchvision's ImageFolder, which GANime (system G) and many others read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from kaogan.core.errors import UsageError
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
from kaogan.data.labels import class_table
from kaogan.data.sources.base import open_source

NAME = "classes"
TITLE = "one sub-folder for each class: torchvision's ImageFolder, GANime"
WRITES_FILE = False
UNLABELLED = "unknown"
ONE_CLASS = "class"


def detect(path: Path) -> bool:
    """Several folders side by side with nothing but pictures in them."""
    with open_source(path) as source:
        folders = folders_of(source.listing)
    return (
        len(folders) > 1 and len({str(PurePosixPath(folder).parent) for folder in folders}) == 1 and "." not in folders
    )


@contextmanager
def read(path: Path) -> Iterator[Collection]:
    with open_source(path) as source:
        names = [entry.name for entry in source.listing.entries]
        table = class_table(names, str(path))
        yield collect(source, table.columns, names=without_common_folder(names))


def write(job: Job, out: Path) -> None:
    attributes = job.attributes
    if len(attributes) > 1:
        raise UsageError(
            f"this format holds one label a picture, the set has {', '.join(attributes)}; "
            f"choose with --attributes {next(iter(attributes))}"
        )
    attribute = next(iter(attributes), None)
    taken: set[str] = set()
    unknown = 0
    for picture in job.pictures(PLAIN, plain=True):
        value = picture.labels.get(attribute, "") if attribute else ONE_CLASS
        unknown += not value
        # The picture was perhaps read from a folder of that name.
        name = picture.name.removeprefix(f"{value}/").replace("/", "_")
        write_file(out / safe_name(f"{value or UNLABELLED}/{name}", picture.suffix, taken), picture.data)
    if unknown:
        job.notes.append(f"{unknown} pictures without {attribute}: in the folder {UNLABELLED}")
