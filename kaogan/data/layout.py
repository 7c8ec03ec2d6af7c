"""The layout of a picture source: which entries are pictures of the set, and the table of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from kaogan.core.errors import KaoganError
from kaogan.core.text import shown
from kaogan.data.labels import LabelTable
from kaogan.data.sources.base import SIDE_FILES, Listing, Source


@dataclass
class Layout:
    """How one format reads a source."""

    table: LabelTable  # one cell for each of ``indices``, not yet cleaned
    indices: Sequence[int]  # the entries that are pictures of the set
    names: list[str]  # theirs, relative to where the set begins
    side: list[str] = field(default_factory=list)  # files that belong to the format: read, or known to be no pictures


def whole(source: Source, table: LabelTable, names: list[str], side: Sequence[str] = ()) -> Layout:
    """A layout in which every entry is a picture of the set."""
    return Layout(table, range(len(source.listing.entries)), names, list(side))


def check_side_files(source: Source) -> None:
    """Raise KaoganError for a file of labels that was passed over: the labels would be lost in silence."""
    for name, reason in source.listing.skipped:
        if name.rpartition("/")[2] in SIDE_FILES:
            raise KaoganError(f"{source.path / shown(name)}: {reason}; put the file itself there")


def entry_names(source: Source) -> list[str]:
    return [entry.name for entry in source.listing.entries]


def top_side(source: Source, base: str) -> str | None:
    """The side file called ``base`` nearest to the top. Raises KaoganError when several sets lie side by side."""
    found = source.listing.side_named(base)
    if len(found) > 1 and found[0].count("/") == found[1].count("/"):
        raise KaoganError(f"{source.path} holds several sets ({found[0]}, {found[1]}); give the folder of one of them")
    return found[0] if found else None


def folder_of(name: str) -> str:
    """ "" or "set/" of "set/labels.csv"."""
    folder = name.rpartition("/")[0]
    return folder + "/" if folder else ""


def without_common_folder(names: Sequence[str]) -> list[str]:
    """The names below the deepest folder that holds them all."""
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    depth = 0
    while folders and all(len(f) > depth and f[depth] == folders[0][depth] for f in folders):
        depth += 1
    return ["/".join(PurePosixPath(name).parts[depth:]) for name in names]


def relative_to(names: Sequence[str], folder: str) -> list[str]:
    """The names below ``folder`` ("" or "set/") and below ``images/`` in it."""
    return [name.removeprefix(folder).removeprefix("images/") for name in names]


def folders_of(listing: Listing) -> set[str]:
    return {str(PurePosixPath(entry.name).parent) for entry in listing.entries}
