"""Class folder format: one sub-folder for each class, as torchvision's ImageFolder and GANime read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kaogan.core.errors import UsageError
from kaogan.data.folder_classes import Choice, class_table
from kaogan.data.formats.base import FORMATS, PLAIN, Format, Job, safe_folder, safe_name, write_file
from kaogan.data.layout import Layout, entry_names, whole, without_common_folder
from kaogan.data.sources import Source

UNLABELLED = "unknown"
ONE_CLASS = "class"


class ClassFolders(Format):
    name = "classes"
    title = "one sub-folder for each class: torchvision's ImageFolder, GANime"
    needs = "pictures"

    def layout(self, source: Source) -> Layout | None:
        return folder_layout(source, "yes")

    def write(self, job: Job, out: Path) -> None:
        attributes = job.attributes
        if len(attributes) > 1:
            raise UsageError(
                f"this format holds one label a picture, the set has {', '.join(attributes)}; "
                f"choose with --attributes {next(iter(attributes))}"
            )
        attribute, values = next(iter(attributes.items()), ("", (ONE_CLASS,)))
        folders = _folders(values)
        taken: dict[str, set[str]] = {folder: set() for folder in folders.values()}
        count = Counter[str]()
        for picture in job.pictures(PLAIN, plain=True):
            value = picture.labels.get(attribute, "") if attribute else ONE_CLASS
            count[value] += 1
            folder = folders[value]
            # The picture was perhaps read from a folder of that name.
            name = picture.name.removeprefix(f"{value or UNLABELLED}/").replace("/", "_")
            write_file(out / folder / safe_name(name, picture.suffix, taken[folder]), picture.data)
        for value in values:
            if count[value] and folders[value] != value:
                job.notes.append(f"{attribute} '{value}': in the folder {folders[value]}")
        if count[""]:
            job.notes.append(f"{count['']} pictures without {attribute}: in the folder {UNLABELLED}")


def _folders(values: Sequence[str]) -> dict[str, str]:
    """A folder of its own for each value and for none: names that some system forbids or takes for one are changed."""
    taken = {UNLABELLED}
    return {"": UNLABELLED} | {value: safe_folder(value, taken) for value in values}


def folder_layout(source: Source, choice: Choice) -> Layout | None:
    """The layout of a source without files of labels: its sub-folders as classes, as far as they are."""
    if not source.listing.entries:
        return None
    names = entry_names(source)
    return whole(source, class_table(names, str(source.path), choice), without_common_folder(names))


FORMATS.register(ClassFolders.name, ClassFolders())
