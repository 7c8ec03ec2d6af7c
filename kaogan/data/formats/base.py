"""What every format is read into and written from: pictures one after the other, each with a name and labels."""

from __future__ import annotations

import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from PIL import Image

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.data import labels as labelling
from kaogan.data.cache import in_order
from kaogan.data.decoding import FORMATS, ORIENTATION, BrokenPicture, fit, read_picture
from kaogan.data.sources.base import Listing, Source, shown

Labels = Mapping[str, str]  # attribute -> value; absent or "" where unknown
Progress = Callable[[int, int], None]  # pictures done, pictures in all

PLAIN = ("PNG", "JPEG")  # what any program reads
SIDE_LIMIT = 512 * 2**20  # bytes of a file of labels
QUALITY = 95
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "MPO": (".jpg", ".jpeg"),
}


@dataclass(frozen=True)
class Item:
    """One picture of a set. ``load`` gives the bytes of a picture file, its path, or uint8 (H, W, 3); it may be called
    from another thread and may raise BrokenPicture."""

    name: str  # relative, with "/"
    load: Callable[[], bytes | Path | np.ndarray]
    labels: Labels = field(default_factory=dict)


@dataclass
class Collection:
    """A set as its format shows it. ``items`` starts anew at each call and holds little at a time."""

    count: int
    items: Callable[[], Iterator[Item]]
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)  # name -> its different values, sorted or not
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def attributes(self, chosen: Sequence[str] | None = None) -> dict[str, tuple[str, ...]]:
        """The columns that are labels, with their values in order; ``chosen`` names them, else all that look like one.

        Raises UsageError for a name that is not there or is no label.
        """
        found: dict[str, tuple[str, ...]] = {}
        for name in self.columns if chosen is None else chosen:
            if name not in self.columns:
                lacks = nearest(name, self.columns) or ": this set has none"
                raise UsageError(f"unknown attribute '{name}'{lacks}")
            table = labelling.Table({name: list(self.columns[name])}, "this set", [])
            asked = [labelling.AUTO if chosen is None else name]
            _, schema, _ = labelling.choose(table, asked, None)
            found |= {attribute.name: attribute.values for attribute in schema.attributes}
        return found


@dataclass
class Options:
    """What can be asked of a writer; each takes what concerns it."""

    size: int | None = None  # side in px; None leaves each picture as it is
    attributes: Sequence[str] | None = None  # which labels, in this order; None is all
    shard_size: int = 10_000  # pictures in a shard
    encode: str = "keep"  # keep, png or jpg


@dataclass(frozen=True)
class Encoded:
    """A picture file that was decoded once, so it is whole."""

    name: str
    labels: Labels
    data: bytes
    suffix: str  # that of the contents, with the dot
    picture: Image.Image  # the pixels in RGB

    @property
    def size(self) -> tuple[int, int]:
        return self.picture.size


@dataclass
class Job:
    """One conversion: where pictures come from, what is asked, and what is to be said at the end."""

    collection: Collection
    options: Options
    progress: Progress = lambda done, total: None
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    written: int = 0

    def __post_init__(self) -> None:
        self.notes += self.collection.notes
        self.skipped += self.collection.skipped

    @property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        return self.collection.attributes(self.options.attributes)

    def columns(self) -> list[str]:
        """The columns to carry over as they are: those asked for, else all."""
        if self.options.attributes is None:
            return list(self.collection.columns)
        return list(self.attributes)

    def pictures(self, kinds: Sequence[str], plain: bool = False) -> Iterator[Encoded]:
        """Every picture that can be read, encoded as one of ``kinds`` (Pillow's names).

        A file that is one of them already stays as it is, to the byte, unless another size or encoding is asked for
        or, with ``plain``, it is not upright RGB of 8 bits. Unreadable ones go to ``skipped``.
        """
        asked = {"png": "PNG", "jpg": "JPEG"}.get(self.options.encode)
        if asked and asked not in kinds:
            raise UsageError(f"--encode {self.options.encode}: this format holds {' and '.join(kinds)} only")
        kinds = (asked,) if asked else kinds

        def work(item: Item) -> Encoded | str:
            try:
                return _encode(item, kinds, self.options.size, plain)
            except BrokenPicture as broken:
                return broken.reason

        for done, (item, result) in enumerate(in_order(self.collection.items(), work), 1):
            if isinstance(result, str):
                self.skipped.append((item.name, result))
            else:
                self.written += 1
                yield result
            self.progress(done, self.collection.count)
        if not self.written:
            name, reason = self.skipped[0] if self.skipped else ("", "")
            first = f": {len(self.skipped)} skipped, first {shown(name)} ({reason})" if self.skipped else ""
            raise KaoganError(f"no picture can be read{first}")

    def drop_labels(self, where: str) -> None:
        """Say that labels get lost in a format without any. Raises UsageError when some were asked for."""
        if self.options.attributes:
            raise UsageError(f"--attributes: {where} holds no labels")
        if names := list(self.attributes):
            self.notes.append(f"labels left out, this format has none: {', '.join(names)}")


class Format(Protocol):
    """One file of this package."""

    NAME: str
    TITLE: str
    WRITES_FILE: bool  # the output is one file rather than a folder

    def detect(self, path: Path) -> bool:
        """Whether ``path`` looks like this format; cheap, raises nothing."""
        ...

    def read(self, path: Path) -> AbstractContextManager[Collection]: ...

    def write(self, job: Job, out: Path) -> None:
        """Write to ``out``, which does not exist yet and is thrown away if anything is raised."""
        ...


def _encode(item: Item, kinds: Sequence[str], size: int | None, plain: bool) -> Encoded:
    source = item.load()
    if isinstance(source, np.ndarray):
        picture, kind, data = Image.fromarray(source), "", b""
    else:
        data = source if isinstance(source, bytes) else _bytes(source)
        picture = read_picture(data)
        kind = _kind(data, plain)
    if size is not None and picture.size != (size, size):
        picture, kind = fit(picture, size), ""
    if kind not in kinds:
        kind = "PNG" if "PNG" in kinds else kinds[0]
        buffer = io.BytesIO()
        if kind == "JPEG":
            picture.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
        else:
            picture.save(buffer, kind)
        data = buffer.getvalue()
    known = _SUFFIXES[kind]
    suffix = PurePosixPath(item.name).suffix.lower()
    return Encoded(item.name, item.labels, data, suffix if suffix in known else known[0], picture)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BrokenPicture(f"cannot be opened: {error.strerror or error}") from error


def _kind(data: bytes, plain: bool) -> str:
    """Pillow's name of the format; "" for one that must be encoded anew. ``data`` has been decoded before."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        if plain and (opened.mode != "RGB" or "transparency" in opened.info or getattr(opened, "n_frames", 1) > 1):
            return ""
        try:
            turned = opened.getexif().get(ORIENTATION, 1) != 1
        except Exception:  # an unreadable EXIF block
            turned = True
        return "" if plain and turned else str(opened.format)


# names


def safe_name(name: str, suffix: str, taken: set[str], flat: bool = False) -> str:
    """A relative name for a new file, like ``name`` but with ``suffix``, writable on every system and not yet taken.

    Characters that some system forbids become "_", long parts are cut, ``flat`` joins folders with "_". Names that
    differ in case only count as the same. The result is added to ``taken``.
    """
    parts = [_safe_part(part) for part in PurePosixPath(name).with_suffix("").parts if part not in ("/", "..", ".")]
    parts = parts or ["picture"]
    if flat:
        parts = ["_".join(parts)[-_LONGEST:]]
    base = "/".join(parts)
    number, result = 1, base + suffix
    while result.casefold() in taken:
        number += 1
        result = f"{base}-{number}{suffix}"
    taken.add(result.casefold())
    return result


_LONGEST = 80  # characters; up to four bytes each, and most systems take 255 bytes
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def _safe_part(part: str) -> str:
    part = unicodedata.normalize("NFC", shown(part))
    part = re.sub(r'[<>:"/\\|?*\uFFFD]', "_", part).strip(" ")
    part = part.rstrip(".")[:_LONGEST] or "_"
    return "_" + part if _RESERVED.match(part) or part.startswith(".") else part


# reading


def items_of(source: Source, indices: Sequence[int], names: Sequence[str], table: Mapping[str, Sequence[str]]) -> Any:
    """The ``items`` of a Collection over entries of a folder or zip; ``table`` has a cell for each of ``indices``."""

    def items() -> Iterator[Item]:
        for row, index in enumerate(indices):
            labels = {name: cells[row] for name, cells in table.items() if cells[row]}
            yield Item(names[row], lambda index=index: source.read(index), labels)  # type: ignore[misc]

    return items


def collect(
    source: Source,
    table: Mapping[str, Sequence[str]] | None = None,
    notes: Sequence[str] = (),
    *,
    indices: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    side: Sequence[str] = (),
) -> Collection:
    """A Collection over all entries of ``source``, or ``indices`` of them. ``side`` are the format's other files."""
    entries = source.listing.entries
    indices = range(len(entries)) if indices is None else indices
    table = table or {}
    names = [entries[index].name for index in indices] if names is None else names
    columns = {name: sorted(set(cells) - {""}) for name, cells in table.items()}
    skipped = [(name, reason) for name, reason in source.listing.skipped if name not in side]
    return Collection(len(indices), items_of(source, indices, names, table), columns, list(notes), skipped)


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


def has_file(path: Path, *names: str) -> bool:
    """Whether the folder or zip ``path`` holds one of ``names``."""
    try:
        if path.is_dir():
            return any((path / name).is_file() for name in names)
        if path.is_file() and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return not set(names).isdisjoint(archive.namelist())
    except Exception:  # hostile archives raise more than BadZipFile; reading will say what is wrong
        return False
    return False


def side_file(path: Path, name: str) -> bytes | None:
    """The bytes of ``name`` in the folder or zip ``path``, None where there is none. Raises KaoganError when it is
    larger than SIDE_LIMIT or cannot be read."""
    too_large = KaoganError(f"{name} in {path} is larger than {SIDE_LIMIT // 2**20} MB; split the set")
    try:
        if path.is_dir():
            file = path / name
            if not file.is_file():
                return None
            if not file.resolve().is_relative_to(path.resolve()):
                raise KaoganError(f"{file} is a link that leads out of the folder; copy the file there")
            if file.stat().st_size > SIDE_LIMIT:
                raise too_large
            return file.read_bytes()
        with zipfile.ZipFile(path) as archive:
            if name not in archive.namelist():
                return None
            with archive.open(name) as member:
                data = member.read(SIDE_LIMIT + 1)
    except OSError as error:
        raise explain(error, path / name) from error
    except KaoganError:
        raise
    except Exception as error:
        raise KaoganError(f"{name} in {path} cannot be unpacked ({error}); pack the zip again") from error
    if len(data) > SIDE_LIMIT:
        raise too_large
    return data


def read_json(path: Path, name: str) -> Any:
    """The JSON file ``name`` in ``path``, None where there is none. Raises KaoganError."""
    data = side_file(path, name)
    if data is None:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise KaoganError(f"{path / name} is not JSON ({' '.join(str(error).split())[:120]})") from error


def write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def csv_text(rows: Sequence[Sequence[str]]) -> str:
    import csv

    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
