"""Classes read from sub-folders, told apart from splits, numbered buckets and copies of the pictures."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePosixPath
from typing import Literal

from kaogan.core.errors import UsageError
from kaogan.core.text import shown
from kaogan.data.labels import CLASS, LabelTable
from kaogan.data.sources.base import natural

Choice = Literal["ask", "auto", "yes", "no"]
"""Whether sub-folders are classes: ask when in doubt, only those beyond doubt, all, none."""

Kind = Literal["classes", "splits", "buckets", "doubtful"]


class DoubtfulClassesError(UsageError):
    """Sub-folders that may be classes or not. ``doubt`` says which, without the remedy."""

    def __init__(self, doubt: str) -> None:
        super().__init__(f"{doubt}: say --data.classes yes or --data.classes no")
        self.doubt = doubt


_SPLIT = re.compile(
    r"(train|training|val|valid|validation|test|testing|dev|eval|evaluation|holdout)"
    r"([-_ ]?(set|data|images?))?[-_ ]?\d*"
)
_DOMAIN = re.compile(r"(train|val|valid|test)[-_ ]?[a-d]")  # of CycleGAN's two kinds of pictures
_DATE = re.compile(r"(19|20)\d\d[-_.]\d\d?([-_.]\d\d?)?")
_NUMBERED = re.compile(
    r"(part|batch|shard|chunk|bucket|split|fold|dir|folder|archive|group|data|images?|imgs?|vol|volume|page)[-_ ]?\d+"
)
_YEAR = re.compile(r"(19|20)\d\d")
# Words of folders that hold another form of the pictures rather than another class of them.
_OTHER_FORMS = frozenset(
    re.findall(
        r"\w+",
        "blur blurred blurry mask masks fake fakes generated sample samples thumb thumbs thumbnail thumbnails lr hr "
        "lowres highres seg segmentation depth edge edges canny sketch sketches augmented aug original originals raw "
        "processed resized cropped crops rejected trash backup duplicates copies images imgs pictures photos results "
        "output outputs",
    )
)
_LISTED = 4


def class_table(names: Sequence[str], where: str, choice: Choice = "auto") -> LabelTable:
    """The attribute ``class``: the sub-folder of each picture below the folder that holds them all.

    Folders that split the set (train, val) or only number its parts (00000, part1) are no classes; below them it is
    looked for further. Raises UsageError for "ask" when folders may be classes or not.
    """
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    depth = _common(folders, 0)
    first, notes = depth, list[str]()
    while level := {folder[depth] for folder in folders if len(folder) > depth}:
        kind: Kind = _kind(level, [(f[depth], _below(f[first:depth], PurePosixPath(n).stem))
                                   for f, n in zip(folders, names, strict=True) if len(f) > depth])  # fmt: skip
        if len(level) < 2 or choice == "no":
            break
        if kind == "classes" or (kind == "doubtful" and choice == "yes"):
            return LabelTable({CLASS: _cells(folders, depth)}, where, notes)
        if kind == "doubtful":
            doubt = f"the sub-folders {_listed(level)} of {where} may be classes or not"
            if choice == "ask":
                raise DoubtfulClassesError(doubt)
            notes.append(f"{doubt}: not taken as classes")
            break
        what = "parts of one set" if kind == "splits" else "only number the pictures"
        notes.append(f"sub-folders {_listed(level)} of {where} are no classes: {what}")
        depth = _common(folders, depth + 1)
    if choice == "yes" and len({folder[first] for folder in folders if len(folder) > first}) > 1:
        return LabelTable({CLASS: _cells(folders, first)}, where, [])
    return LabelTable({}, where, notes)


def _below(parents: Sequence[str], stem: str) -> str:
    """The rest of a stem that begins with the names of its parents, as 3fa2 in 3f/a2."""
    for parent in parents:
        if stem.casefold().startswith(parent.casefold()):
            stem = stem[len(parent) :]
    return stem


def _common(folders: Sequence[tuple[str, ...]], depth: int) -> int:
    """The first depth from ``depth`` on at which the folders differ or a picture lies loose."""
    while folders and all(len(f) > depth for f in folders) and len({f[depth] for f in folders}) == 1:
        depth += 1
    return depth


def _cells(folders: Sequence[tuple[str, ...]], depth: int) -> list[str]:
    return [shown(folder[depth]) if len(folder) > depth else "" for folder in folders]


def _listed(level: Iterable[str]) -> str:
    names = sorted(level, key=natural)
    return ", ".join(map(shown, names[:_LISTED])) + (" ..." if len(names) > _LISTED else "")


def _kind(level: Collection[str], pictures: Sequence[tuple[str, str]]) -> Kind:
    """``pictures``: (folder, stem of the file)."""
    lower = {name.casefold() for name in level}
    splits = sum(_SPLIT.fullmatch(name) is not None for name in lower)
    if splits:
        return "splits" if splits == len(lower) else "doubtful"
    if any(_DOMAIN.fullmatch(name) for name in lower) or all(_DATE.fullmatch(name) for name in lower):
        return "doubtful"
    if all(name.isdecimal() for name in lower):
        return _kind_of_numbers(lower, pictures)
    if all(_NUMBERED.fullmatch(name) for name in lower):
        return "buckets"
    if all(re.fullmatch(r"[0-9a-f]{1,3}", name) for name in lower) and len(set(map(len, lower))) == 1:
        if all(stem.casefold().startswith(folder.casefold()) for folder, stem in pictures):
            return "buckets"  # by the first digits of a hash
        return "doubtful" if len(lower) >= 8 else "classes"
    if any(word in _OTHER_FORMS for name in lower for word in re.split(r"[-_. ]+", name)):
        return "doubtful"
    return "classes"


def _kind_of_numbers(level: Collection[str], pictures: Sequence[tuple[str, str]]) -> Kind:
    if all(_YEAR.fullmatch(name) for name in level):
        return "classes"
    widths = {len(name) for name in level}
    if len(widths) == 1 and min(widths) >= 4 and any(name.startswith("0") for name in level):
        return "buckets"
    numbers = [(int(folder[:18]), re.search(r"\d+$", stem)) for folder, stem in pictures]
    if all(found for _, found in numbers) and len(numbers) >= 2 * len(level):
        ids = [(folder, int(found[0][-18:])) for folder, found in numbers if found]
        top = max(folder for folder, _ in ids)
        if any(all(each % modulus == folder for folder, each in ids) for modulus in {len(level), top + 1, 100, 1000}):
            return "buckets"  # by the number of the picture
    if all(stem.startswith(folder) and stem != folder for folder, stem in pictures):
        return "buckets"
    return "doubtful"
