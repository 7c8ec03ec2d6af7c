"""Class folder format: one sub-folder for each class, as torchvision's ImageFolder and GANime read them."""

from __future__ import annotations

from pathlib import Path

from kaogan.core.errors import UsageError
from kaogan.data.folder_classes import Choice, class_table
from kaogan.data.formats.base import FORMATS, PLAIN, Format, Job, safe_name, write_file
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
        attribute = next(iter(attributes), None)
        taken: set[str] = set()
        unknown = 0
        for picture in job.pictures(PLAIN, plain=True):
            value = picture.labels.get(attribute, "") if attribute else ONE_CLASS
            unknown += not value
            # The picture was perhaps read from a folder of that name.
            name = picture.name.removeprefix(f"{value or UNLABELLED}/").replace("/", "_")
            write_file(out / safe_name(f"{value or UNLABELLED}/{name}", picture.suffix, taken), picture.data)
        if unknown:
            job.notes.append(f"{unknown} pictures without {attribute}: in the folder {UNLABELLED}")


def folder_layout(source: Source, choice: Choice) -> Layout | None:
    """The layout of a source without files of labels: its sub-folders as classes, as far as they are."""
    if not source.listing.entries:
        return None
    names = entry_names(source)
    return whole(source, class_table(names, str(source.path), choice), without_common_folder(names))


FORMATS.register(ClassFolders.name, ClassFolders())
