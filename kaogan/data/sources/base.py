"""Picture sources: what a folder, a zip and a tar have in common, and the limits on each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kaogan.core.errors import KaoganError
from kaogan.data.decoding import MAX_BYTES as MAX_BYTES  # of one picture; archives look it up here

SUFFIXES = frozenset(
    re.findall(r"\S+", ".jpg .jpeg .jpe .jfif .png .webp .bmp .dib .gif .avif .tif .tiff .ppm .pgm .pbm .pnm .apng")
)
LABELS = "labels.csv"
# Files of labels that some format keeps beside its pictures; ``Source.read_side`` reads them.
SIDE_FILES = frozenset(
    re.findall(
        r"\S+",
        "labels.csv metadata.csv metadata.jsonl dataset.json "
        "tags.pickle hair_prob.npy eye_prob.npy labels.pkl eye_label.json hair_label.json year_label.json",
    )
)
# What else lies beside pictures: of the system, of kaogan prepare. And every name with a leading dot.
IGNORED = frozenset(
    re.findall(
        r"\S+", "__MACOSX .ipynb_checkpoints Thumbs.db desktop.ini origins.csv dropped.csv doubtful.csv report.html"
    )
)
SIDE_LIMIT = 512 * 2**20  # bytes of a file of labels
MAX_FILES = 5_000_000
# What a compressor gains on a real picture is far below this; beyond it, a small archive fills the memory.
MAX_RATIO, RATIO_FROM = 200, 16 * 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture file. ``stamp`` changes with its contents (time in ns, CRC in a zip, place in a tar)."""

    name: str  # relative, with "/"
    size: int  # bytes
    stamp: int


@dataclass
class Listing:
    """What a source holds: pictures in natural order, files of labels, and what was passed over and why."""

    entries: list[Entry] = field(default_factory=list)
    side: list[str] = field(default_factory=list)  # names of SIDE_FILES, in any folder, and of a tar's .json and .cls
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # about the source as a whole, such as the encoding of its names

    def side_named(self, base: str) -> list[str]:
        """The side files called ``base``, the one nearest to the top first."""
        found = [name for name in self.side if name.rpartition("/")[2] == base]
        return sorted(found, key=lambda name: (name.count("/"), name))

    def sort(self) -> None:
        self.entries.sort(key=lambda entry: natural(entry.name))
        self.sort_skipped()

    def sort_skipped(self) -> None:
        self.skipped.sort(key=lambda item: natural(item[0]))


class Source(Protocol):
    """A folder, a zip or a tar."""

    path: Path
    listing: Listing
    stamp: str  # what, beside the entries, tells that the source changed

    def keep(self, indices: Sequence[int]) -> None:
        """Go on with these entries alone."""
        ...

    def read(self, index: int) -> bytes | Path:
        """Entry number ``index``: its bytes, or its path. Safe to call from several threads. Raises BrokenPicture."""
        ...

    def read_side(self, name: str) -> bytes:
        """One of ``listing.side``. Raises KaoganError, for more than SIDE_LIMIT bytes too."""
        ...


def natural(name: str) -> tuple[tuple[object, ...], str]:
    """A sort key in which picture 9 comes before picture 10."""
    parts: list[object] = _DIGITS.split(name.casefold())
    for at in range(1, len(parts), 2):
        digits = parts[at].lstrip("0")  # type: ignore[attr-defined]
        parts[at] = len(digits), digits
    return tuple(parts), name


_DIGITS = re.compile(r"([0-9]+)")


def not_a_picture_reason(name: str) -> str | None:
    """None for a file that may be a picture, else why it is not one."""
    base = name.rpartition("/")[2]
    dot = base.rfind(".")  # a path object would take ten times as long, and this is asked of every file
    suffix = base[dot:].lower() if 0 < dot < len(base) - 1 else ""
    return None if suffix in SUFFIXES or not suffix else f"not a picture file ({suffix})"


def too_large_side(name: str, path: Path) -> KaoganError:
    return KaoganError(f"{name} in {path} is larger than {SIDE_LIMIT // 2**20} MB; split the set")


def is_ignored(part: str) -> bool:
    return part.startswith(".") or part in IGNORED
