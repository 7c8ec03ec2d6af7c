"""Which picture files there are: in a folder, or in a zip or tar that is never extracted."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError, UsageError
from kaogan.data.decoding import MAX_BYTES

SUFFIXES = frozenset(
    re.findall(r"\S+", ".jpg .jpeg .jpe .jfif .png .webp .bmp .dib .gif .avif .tif .tiff .ppm .pgm .pbm .pnm .apng")
)
LABELS = "labels.csv"
# What lies beside pictures: of the system, of kaogan prepare. And every name with a leading dot.
IGNORED = frozenset(
    re.findall(
        r"\S+",
        "__MACOSX .ipynb_checkpoints Thumbs.db desktop.ini "
        "metadata.csv origins.csv dropped.csv doubtful.csv dataset.json report.html",
    )
)
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
    """What a source holds: pictures in natural order, the labels.csv files, and what was passed over and why."""

    entries: list[Entry] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

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

    def read(self, index: int) -> bytes | Path:
        """Entry number ``index``: its bytes, or its path. Safe to call from several threads. Raises BrokenPicture."""
        ...

    def read_labels(self, name: str) -> bytes: ...


def natural(name: str) -> tuple[tuple[object, ...], str]:
    """A sort key in which picture 9 comes before picture 10."""
    parts: list[object] = _DIGITS.split(name.casefold())
    for at in range(1, len(parts), 2):
        digits = parts[at].lstrip("0")  # type: ignore[attr-defined]
        parts[at] = len(digits), digits
    return tuple(parts), name


_DIGITS = re.compile(r"([0-9]+)")


def shown(name: str) -> str:
    """A name that can be printed on one line: no control characters, no bytes that are not text."""
    if name.isprintable():
        return name
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs") else c for c in name)


@contextmanager
def open_source(path: Path, without: Collection[Path] = ()) -> Iterator[Source]:
    """A folder, zip or tar by its path; folders in ``without`` (resolved) are not walked into.

    Raises UsageError when it is none of these, KaoganError when it cannot be read.
    """
    from kaogan.data.sources.tar import Tar, is_tar
    from kaogan.data.sources.zip import Zip, is_zip

    try:
        path = path.expanduser()
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"no such folder, zip or tar of pictures: {shown(str(path))}; check the path") from error
    except (ValueError, RuntimeError) as error:  # a zero character; "~" of nobody
        raise UsageError(f"not a path: {shown(str(path))}") from error
    except OSError as error:
        raise explain(error, path) from error
    if stat.S_ISDIR(mode):
        yield Folder(path, without)
    elif stat.S_ISREG(mode) and is_zip(path):
        with Zip(path) as archive:
            yield archive
    elif stat.S_ISREG(mode) and is_tar(path):
        with Tar(path) as tar:
            yield tar
    else:
        raise _not_a_set(path)


def _not_a_set(path: Path) -> UsageError:
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return UsageError(
            f"{path} is one picture; give the folder it is in ({path.parent}) or a zip or tar of pictures"
        )
    if suffix in (".gz", ".xz", ".bz2", ".zst", ".7z", ".rar"):
        return UsageError(f"{path} is neither a zip nor a tar; unpack it and give the folder, or pack it as a zip")
    if path.name == LABELS:
        return UsageError(f"{path} is the list of labels; give the folder it is in ({path.parent})")
    return UsageError(f"{path} is neither a folder nor a zip or tar of pictures; give one of these")


def why_no_picture(name: str) -> str | None:
    """None for a file that may be a picture, else why it is not one."""
    base = name.rpartition("/")[2]
    dot = base.rfind(".")  # a path object would take ten times as long, and this is asked of every file
    suffix = base[dot:].lower() if 0 < dot < len(base) - 1 else ""
    return None if suffix in SUFFIXES or not suffix else f"not a picture file ({suffix})"


def ignored(part: str) -> bool:
    return part.startswith(".") or part in IGNORED


class Folder:
    """A folder, flat or nested. Links are followed to files inside the folder only."""

    def __init__(self, path: Path, without: Collection[Path] = ()) -> None:
        self.path = path
        self._without = frozenset(map(str, without))
        self.stamp = "folder"
        self.listing = Listing()
        try:
            self._root = path.resolve(strict=True)
            self._walk(self._root, "")
        except OSError as error:
            raise explain(error, path) from error
        self.listing.sort()

    def _walk(self, folder: Path, prefix: str) -> None:
        """Depth first with an explicit stack: a deep tree is no recursion error."""
        waiting = [(folder, prefix)]
        while waiting:
            folder, prefix = waiting.pop()
            try:
                with os.scandir(folder) as found:
                    items = [item for item in found if not ignored(item.name)]
            except OSError as error:
                if not prefix:
                    raise
                self.listing.skipped.append((prefix, f"folder cannot be read: {error.strerror or error}"))
                continue
            for item in items:
                if item.path in self._without:
                    continue
                if item.is_dir(follow_symlinks=False):
                    waiting.append((Path(item.path), f"{prefix}{item.name}/"))
                else:
                    self._add(item, prefix + item.name)

    def _add(self, item: os.DirEntry[str], name: str) -> None:
        if reason := self._refused(item, name):
            self.listing.skipped.append((name, reason))
        elif item.name == LABELS:
            self.listing.labels.append(name)
        else:
            status = item.stat()
            self.listing.entries.append(Entry(name, status.st_size, status.st_mtime_ns))
            if len(self.listing.entries) > MAX_FILES:
                raise KaoganError(f"{self.path} holds more than {MAX_FILES:,} files; give a smaller set")

    def _refused(self, item: os.DirEntry[str], name: str) -> str | None:
        try:
            if item.is_symlink():
                target = Path(item.path).resolve(strict=True)
                if not target.is_relative_to(self._root):
                    return "link that leads out of the folder"
                if target.is_dir():
                    return "link to a folder"
            if not item.is_file():
                return "not a regular file"
            if item.name != LABELS and (reason := why_no_picture(name)):
                return reason
            if item.stat().st_size > MAX_BYTES:
                return f"too large: more than {MAX_BYTES // 2**20} MB"
        except (OSError, RuntimeError) as error:
            return f"cannot be opened: {getattr(error, 'strerror', None) or error}"
        return None

    def read(self, index: int) -> Path:
        return self._root / self.listing.entries[index].name

    def read_labels(self, name: str) -> bytes:
        try:
            return (self._root / name).read_bytes()
        except OSError as error:
            raise explain(error, self.path / name) from error
