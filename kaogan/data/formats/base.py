"""Base of the dataset formats: the class ``Format``, its registry, and what formats are read into and written from."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.progress import Progress, no_progress
from kaogan.core.registry import Registry
from kaogan.core.text import shown
from kaogan.data.cache import in_order
from kaogan.data.decoding import FORMATS as PICTURE_FORMATS
from kaogan.data.decoding import ORIENTATION, BrokenPicture, fit, is_deep, is_srgb, may_pass, read_with_header
from kaogan.data.label_files import TwiceError, unique
from kaogan.data.labels import AUTO, choose_values, cleaned, columns_beside
from kaogan.data.layout import Layout
from kaogan.data.sources import Source, open_source

Labels = Mapping[str, str]  # attribute -> value; absent or "" where unknown

PLAIN = ("PNG", "JPEG")  # what any program reads
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
    columns: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # name -> value -> pictures that have it
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def attributes(self, chosen: Sequence[str] | None = None) -> tuple[dict[str, tuple[str, ...]], list[str]]:
        """The columns that are labels, with their values in order, and notes on those that are none; ``chosen`` names
        them, else all that look like one.

        Raises UsageError for a name that is not there or is no label.
        """
        return choose_values(self.columns, "this set", [AUTO] if chosen is None else chosen)


@dataclass
class Options:
    """Options of a writer; each takes what concerns it."""

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
    size: tuple[int, int]  # width, height, px


@dataclass
class Job:
    """One conversion: where pictures come from, the options, and what is reported at the end."""

    collection: Collection
    options: Options
    progress: Progress = no_progress
    notes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    written: int = 0

    def __post_init__(self) -> None:
        self.notes += self.collection.notes
        self.skipped += self.collection.skipped

    @cached_property
    def attributes(self) -> dict[str, tuple[str, ...]]:
        """The labels to write, with their values; columns that are none go to ``notes``, once."""
        found, notes = self.collection.attributes(self.options.attributes)
        self.notes += notes
        return found

    def columns(self, key: str) -> list[str]:
        """The columns to carry over as they are, beside the column ``key`` of names: those asked for, else all.

        Raises UsageError when one that was asked for cannot stand there.
        """
        every = self.options.attributes is None
        columns, notes = columns_beside(list(self.collection.columns if every else self.attributes), key)
        if notes and not every:
            raise UsageError(f"--attributes: {notes[0]}")
        self.notes += notes
        return columns

    def pictures(self, kinds: Sequence[str], plain: bool = False) -> Iterator[Encoded]:
        """Every picture that can be read, encoded as one of ``kinds`` (Pillow's names).

        A file that is one of them already stays as it is, to the byte, unless another size or encoding is asked for
        or, with ``plain``, it is not upright RGB of 8 bits. Unreadable ones go to ``skipped``.
        """
        encoding = {"png": "PNG", "jpg": "JPEG"}.get(self.options.encode)
        if encoding and encoding not in kinds:
            raise UsageError(f"--encode {self.options.encode}: this format holds {' and '.join(kinds)} only")
        kinds = (encoding,) if encoding else kinds

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
            self.progress(done, self.collection.count, "converting")
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


class Format:
    """A dataset format. Subclasses override ``layout`` or, where pictures lie in no folder, zip or tar, ``detect`` and
    ``read``; and ``write`` where it can be written."""

    name: str
    title: str
    needs = ""  # what a source of this format must hold, for the message when it does not

    def detect(self, path: Path) -> bool:
        """Whether ``path`` is of this format, for formats that no ``Source`` reads; cheap, raises nothing."""
        return False

    def layout(self, source: Source) -> Layout | None:
        """How this format reads an open source, None when it is not of this format. Raises KaoganError when it is, but
        its labels cannot be read."""
        return None

    def pictures(self, source: Source) -> Layout | None:
        """The layout without labels, from names alone, of a format in which some pictures may be no data."""
        return None

    def read(self, path: Path) -> AbstractContextManager[Collection]:
        """The set at ``path``. Raises KaoganError when it is not of this format."""
        return self._read(path)

    @contextmanager
    def _read(self, path: Path) -> Iterator[Collection]:
        with open_source(path) as source:
            layout = self.layout(source)
            if layout is None:
                raise KaoganError(f"{path} holds no {self.needs or 'set of the format ' + self.name}; check the path")
            yield collect(source, layout)

    def write(self, job: Job, out: Path) -> None:
        """Write to ``out``, which does not exist yet and is thrown away if anything is raised."""
        raise UsageError(f"kaogan reads the format {self.name} but does not write it; choose another for --to")

    @property
    def writable(self) -> bool:
        return type(self).write is not Format.write


FORMATS: Registry[Format] = Registry(
    "format",
    {
        name: f"kaogan.data.formats.{module}"
        for name, module in {
            # In the order in which a source is tried: what carries labels before what only its folders tell.
            "hdf5": "hdf5",
            "webdataset": "webdataset",
            "acgan": "acgan",
            "acgan-new": "acgan_new",
            "bamsgan": "bamsgan",
            "kaogan": "kaogan_set",
            "huggingface": "huggingface",
            "stylegan": "stylegan",
            "classes": "class_folders",
            "flat": "flat",
            "nested": "nested",
        }.items()
    },
)


def _encode(item: Item, kinds: Sequence[str], size: int | None, plain: bool) -> Encoded:
    source = item.load()
    if isinstance(source, np.ndarray):
        picture, kind, data = Image.fromarray(source), "", b""
    else:
        data = source if isinstance(source, bytes) else _bytes(source)
        picture, header = read_with_header(data)
        kind = "" if header.completed else _kind(data, plain)
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
    return Encoded(item.name, item.labels, data, suffix if suffix in known else known[0], picture.size)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BrokenPicture(f"cannot be opened: {error.strerror or error}", may_pass(error)) from error


def _kind(data: bytes, plain: bool) -> str:
    """Pillow's name of the format; "" for one that must be encoded anew. ``data`` has been decoded before."""
    with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as opened:
        if plain and (
            opened.mode != "RGB"
            or "transparency" in opened.info
            or getattr(opened, "n_frames", 1) > 1
            or not is_srgb(opened)
            or is_deep(opened)
        ):
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
    path = PurePosixPath(name)
    path = path.with_suffix("") if path.name else path  # "." and "/" have none
    parts = [_safe_part(part) for part in path.parts if part not in ("/", "..", ".")]
    parts = parts or ["picture"]
    if flat:
        parts = ["_".join(parts)[-_LONGEST:]]
    return _free("/".join(parts), suffix, taken)


def safe_folder(name: str, taken: set[str]) -> str:
    """Like ``safe_name``, for one folder: a "/" is forbidden too, and what follows a dot is part of the name."""
    return _free(_safe_part(name), "", taken)


def _free(base: str, suffix: str, taken: set[str]) -> str:
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
    part = part[:_LONGEST].rstrip(" .") or "_"
    return "_" + part if _RESERVED.match(part) or part.startswith(".") else part


# reading


def collect(source: Source, layout: Layout) -> Collection:
    """A Collection over the pictures that ``layout`` names."""
    table = cleaned(layout.table)

    def items() -> Iterator[Item]:
        for row, index in enumerate(layout.indices):
            labels = {name: cells[row] for name, cells in table.columns.items() if cells[row]}
            yield Item(layout.names[row], lambda index=index: source.read(index), labels)  # type: ignore[misc]

    columns = {name: Counter(filter(None, cells)) for name, cells in table.columns.items()}
    skipped = [(name, reason) for name, reason in source.listing.skipped if name not in layout.side]
    return Collection(len(layout.indices), items, columns, [*source.listing.notes, *table.notes], skipped)


def read_json(source: Source, name: str) -> Any:
    """The JSON in the side file ``name``. Raises KaoganError."""
    try:
        return json.loads(source.read_side(name), object_pairs_hook=unique)
    except TwiceError as twice:
        raise KaoganError(f"{source.path / name}: {twice}") from None
    except (ValueError, RecursionError) as error:
        raise KaoganError(f"{source.path / name} is not JSON ({' '.join(str(error).split())[:120]})") from error


def write_file(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def csv_text(rows: Sequence[Sequence[str]]) -> str:
    import csv

    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
