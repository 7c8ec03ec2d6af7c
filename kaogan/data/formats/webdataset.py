"""WebDataset format: tar shards of ``00000000.png`` with a ``.json`` of labels and, for a single label, a ``.cls``.

The same set gives the same shards, to the byte: no times, owners or other accidents are in them.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.text import shown
from kaogan.data.decoding import MAX_BYTES, BrokenPicture
from kaogan.data.formats.base import FORMATS, Collection, Format, Item, Job
from kaogan.data.label_files import TwiceError, cell_of, unique
from kaogan.data.labels import CLASS, LabelTable, count_of
from kaogan.data.layout import Layout, entry_names
from kaogan.data.shards.writer import FILE, Sample, write_shards
from kaogan.data.sources.base import MAX_FILES, SIDE_FILES, SUFFIXES, Source, natural

KINDS = ("PNG", "JPEG", "WEBP")
TARS = "[!.]*.tar"  # macOS writes a ._shard.tar beside each shard
LABEL_LIMIT = 2**20  # bytes of a .json or .cls
MAX_VALUES = 100_000


class WebDataset(Format):
    name = "webdataset"
    title = "WebDataset: tar shards of pictures with .json and .cls (--shard-size)"
    needs = ".json or .cls of samples"

    def detect(self, path: Path) -> bool:
        try:
            if path.is_dir():
                return any(path.glob(TARS))
            return path.suffix.lower() == ".tar" and tarfile.is_tarfile(path) and not _holds_side_files(path)
        except OSError:
            return False

    def layout(self, source: Source) -> Layout | None:
        """One tar of samples as a source of pictures."""
        fields: dict[str, Fields] = {}
        for name in source.listing.side:
            if not name.endswith((".json", ".cls")) or name.rpartition("/")[2] in SIDE_FILES:
                continue
            key, suffix = _key(name)
            fields.setdefault(key, {})[suffix] = partial(source.read_side, name)
        if not fields:
            return None
        every = entry_names(source)
        chosen: dict[str, int] = {}  # of each sample its picture: cat.png and cat.mask.png are one
        for at, name in enumerate(every):
            key, suffix = _key(name)
            if key not in chosen or (suffix in SUFFIXES and _key(every[chosen[key]])[1] not in SUFFIXES):
                chosen[key] = at
        names = [every[at] for at in chosen.values()]
        columns: dict[str, list[str]] = {}
        for row, key in enumerate(chosen):
            for column, value in _labels(fields.get(key, {}), f"{source.path}/{shown(key)}").items():
                columns.setdefault(column, [""] * len(names))[row] = value
        notes = []
        if others := len(every) - len(names):
            notes.append(
                f"{count_of(others, 'picture')} of {source.path} left out: more of the same samples, as masks are"
            )
        return Layout(LabelTable(columns, f"the samples of {source.path}", notes), list(chosen.values()), names)

    @contextmanager
    def read(self, path: Path) -> Iterator[Collection]:
        shards = [path] if path.is_file() else sorted(path.glob(TARS), key=lambda shard: natural(shard.name))
        if not shards:
            raise KaoganError(f"{path} holds no .tar")
        skipped: list[tuple[str, str]] = []
        values: dict[str, set[str]] = {}
        count = 0
        for shard in shards:  # a first pass over headers and labels; the pictures are not touched
            for name, fields in _samples(shard, skipped):
                labels = _labels(fields, f"{shard}/{shown(name)}")
                for column, value in labels.items():
                    known = values.setdefault(column, set())
                    if len(known) < MAX_VALUES:
                        known.add(value)
                count += 1

        def items() -> Iterator[Item]:
            for shard in shards:
                for name, fields in _samples(shard, []):
                    picture, suffix = _picture(fields)
                    labels = _labels(fields, f"{shard}/{shown(name)}")
                    yield Item(_own_name(fields, name + suffix), _given(picture()), labels)

        yield Collection(count, items, {name: sorted(known) for name, known in values.items()}, [], skipped)

    def write(self, job: Job, out: Path) -> None:
        if job.options.shard_size < 1:
            raise UsageError(f"--shard-size {job.options.shard_size}: at least 1")
        columns, attributes = job.columns(), job.attributes
        classes: Mapping[str, int] = {}
        attribute = ""
        if len(attributes) == 1:
            ((attribute, names),) = attributes.items()
            classes = {value: number for number, value in enumerate(names)}
        out.mkdir()

        def samples() -> Iterator[Sample]:
            for picture in job.pictures(KINDS):
                label = classes.get(picture.labels.get(attribute, "")) if classes else None
                yield picture.name, picture.suffix, picture.data, picture.labels, label

        write_shards(out, samples(), columns, job.options.shard_size)


Fields = dict[str, Callable[[], bytes]]  # suffix -> the member's bytes, to be read before the next sample


def _samples(shard: Path, skipped: list[tuple[str, str]]) -> Iterator[tuple[str, Fields]]:
    """The samples of one shard: members with the same name up to the first dot, which stand together."""
    try:
        with tarfile.open(shard, "r:") as archive:
            name, fields, seen = "", Fields(), 0
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # or every member ever met stays in memory
                seen += 1
                if seen > MAX_FILES:
                    raise KaoganError(f"{shard} holds more than {MAX_FILES:,} files; split it")
                if not member.isreg() or member.issparse():
                    if not member.isdir():
                        skipped.append((shown(member.name), "not a regular file"))
                    continue
                key, suffix = _key(member.name)
                if key != name:
                    if _has_picture(fields):
                        yield name, fields
                    name, fields = key, {}
                fields[suffix] = _reader(archive, member)
            if _has_picture(fields):
                yield name, fields
    except OSError as error:
        raise explain(error, shard) from error
    except KaoganError:
        raise
    except Exception as error:  # hostile headers raise more than TarError
        raise KaoganError(
            f"{shard} is not a whole tar ({' '.join(str(error).split())[:120]}); copy it again"
        ) from error


def _key(name: str) -> tuple[str, str]:
    """(key of the sample, suffix of the field): the name up to the first dot of its last part, and the rest."""
    folder, _, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return f"{folder}/{stem}" if folder else stem, "." + suffix.lower()


def _holds_side_files(path: Path) -> bool:
    """Whether a tar is a set of another format, with labels.csv or the like in it; False for a damaged one."""
    try:
        with tarfile.open(path, "r:") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]
                if member.name.rpartition("/")[2] in SIDE_FILES:
                    return True
    except Exception:
        return False
    return False


def _reader(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        if member.size > MAX_BYTES:
            raise BrokenPicture(f"too large: more than {MAX_BYTES // 2**20} MB")
        file = archive.extractfile(member)
        data = file.read() if file else b""
        if len(data) != member.size:
            raise BrokenPicture("cut short")
        return data

    return read


def _has_picture(fields: Fields) -> bool:
    return any(suffix in SUFFIXES for suffix in fields)


def _picture(fields: Fields) -> tuple[Callable[[], bytes | BrokenPicture], str]:
    """A function that reads the picture at once, or says why it cannot; and the picture's suffix."""
    suffix = next(suffix for suffix in fields if suffix in SUFFIXES)

    def read() -> bytes | BrokenPicture:
        try:
            return fields[suffix]()
        except BrokenPicture as broken:
            return broken

    return read, suffix


def _given(data: bytes | BrokenPicture) -> Callable[[], bytes]:
    def load() -> bytes:
        if isinstance(data, BrokenPicture):
            raise data
        return data

    return load


def _json(fields: Fields, where: str) -> Mapping[str, Any]:
    if ".json" not in fields:
        return {}
    try:
        data = fields[".json"]()
        values = json.loads(data, object_pairs_hook=unique) if len(data) <= LABEL_LIMIT else None
    except TwiceError as twice:
        raise KaoganError(f"{where}.json: {twice}") from None
    except (ValueError, RecursionError, BrokenPicture):
        values = None
    if not isinstance(values, dict):
        raise KaoganError(f"{where}.json is not a JSON object of labels")
    return values


def _labels(fields: Fields, where: str) -> dict[str, str]:
    labels = {}
    for name, value in _json(fields, where).items():
        if name != FILE and isinstance(value, str | int | float) and value != "":
            labels[name] = cell_of(value)
    if ".cls" in fields and not labels:
        try:
            text = fields[".cls"]()[:LABEL_LIMIT].decode("ascii", "replace").strip()
        except BrokenPicture:
            text = ""
        if not text.isdecimal():
            raise KaoganError(f"{where}.cls is not the number of a class")
        labels[CLASS] = str(int(text[:18]))
    return labels


def _own_name(fields: Fields, name: str) -> str:
    given = _json(fields, name).get(FILE)
    return given if isinstance(given, str) and given else name


FORMATS.register(WebDataset.name, WebDataset())
