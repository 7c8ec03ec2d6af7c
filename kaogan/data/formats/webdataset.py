"""WebDataset format: tar shards of ``00000000.png`` with a ``.json`` of labels and, for a single label, a ``.cls``.

The same set gives the same shards, to the byte: no times, owners or other accidents are in them.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.text import shown
from kaogan.data.decoding import MAX_BYTES, BrokenPicture
from kaogan.data.formats.base import FORMATS, Collection, Format, Item, Job
from kaogan.data.label_files import TwiceError, cell_of, unique
from kaogan.data.labels import CLASS, LabelTable, count_of
from kaogan.data.layout import Layout, entry_names
from kaogan.data.shards.index import MANIFEST
from kaogan.data.shards.writer import FILE, Sample, write_shards
from kaogan.data.sources.base import MAX_FILES, SIDE_FILES, SUFFIXES, Source, is_ignored, natural
from kaogan.data.sources.tar import damage

KINDS = ("PNG", "JPEG", "WEBP")
LABEL_FIELDS = (".json", ".cls")
TARS = "[!.]*.tar"  # macOS writes a ._shard.tar beside each shard
LABEL_LIMIT = 2**20  # bytes of a .json or .cls
MAX_VALUES = 100_000


class WebDataset(Format):
    name = "webdataset"
    title = "WebDataset: tar shards of pictures with .json and .cls (--shard-size)"
    needs = ".json or .cls of samples"

    def detect(self, path: Path) -> bool:
        try:
            return _holds_shards(path) if path.is_dir() else _holds_samples(path)
        except OSError:
            return False

    def layout(self, source: Source) -> Layout | None:
        """One tar of samples as a source of pictures."""
        found = self.pictures(source)
        if found is None:
            return None
        fields = _fields(source)
        columns: dict[str, list[str]] = {}
        for row, name in enumerate(found.names):
            key, _ = _key(name)
            for column, value in _labels(fields.get(key, {}), f"{source.path}/{shown(key)}").items():
                columns.setdefault(column, [""] * len(found.names))[row] = value
        table = LabelTable(columns, f"the samples of {source.path}", found.table.notes)
        return Layout(table, found.indices, found.names)

    def pictures(self, source: Source) -> Layout | None:
        fields, names = _fields(source), entry_names(source)
        samples: dict[str, dict[str, list[int]]] = {}  # key -> suffix -> its entries
        for at, name in enumerate(names if fields else []):
            key, suffix = _key(name)
            samples.setdefault(key, {}).setdefault(suffix, []).append(at)
        if not fields.keys() & samples.keys():
            return None
        chosen: list[int] = []
        for key, entries in samples.items():
            for suffix in _pictures(list(entries), key in fields):
                chosen += entries[suffix][:1] if key in fields else entries[suffix]
        chosen.sort()
        notes = _left_out(len(names) - len(chosen), source.path)
        return Layout(LabelTable({}, str(source.path), notes), chosen, [names[at] for at in chosen])

    def read(self, path: Path) -> AbstractContextManager[Collection]:
        # Only what lies on the disk as it is can be read in one go, whatever its size.
        streamed = path.is_dir() or _holds_samples(path)
        return self._read_shards(path) if streamed else self._read(path)

    @contextmanager
    def _read_shards(self, path: Path) -> Iterator[Collection]:
        shards = [path] if path.is_file() else sorted(path.glob(TARS), key=lambda shard: natural(shard.name))
        if not shards:
            raise KaoganError(f"{path} holds no .tar")
        skipped: list[tuple[str, str]] = []
        values: dict[str, Counter[str]] = {}
        count = others = 0
        for shard in shards:  # a first pass over headers and labels; the pictures are not touched
            for key, fields in _samples(shard, skipped):
                pictures, every = _pictures_of(fields)
                labels = _labels(fields, f"{shard}/{shown(key)}") if pictures else {}
                for column, value in labels.items():
                    known = values.setdefault(column, Counter())
                    if value in known or len(known) < MAX_VALUES:
                        known[value] += len(pictures)
                count += len(pictures)
                others += every - len(pictures)

        def items() -> Iterator[Item]:
            for shard in shards:
                for key, fields in _samples(shard, []):
                    for suffix in _pictures_of(fields)[0]:
                        labels = _labels(fields, f"{shard}/{shown(key)}")
                        yield Item(_own_name(fields, key + suffix), _loaded(fields[suffix]), labels)

        yield Collection(count, items, values, _left_out(others, path), skipped)

    def write(self, job: Job, out: Path) -> None:
        if job.options.shard_size < 1:
            raise UsageError(f"--shard-size {job.options.shard_size}: at least 1")
        columns = job.columns(FILE)
        attributes, _ = job.collection.attributes(job.options.attributes)  # for .cls alone: no column is lost
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
            key, fields = "", Fields()
            for member in _members(archive, shard, skipped):
                name, suffix = _key(member.name)
                if name != key:
                    if fields:
                        yield key, fields
                    key, fields = name, {}
                fields[suffix] = _reader(archive, member)
            if fields:
                yield key, fields
    except OSError as error:
        raise explain(error, shard) from error
    except KaoganError:
        raise
    except Exception as error:  # hostile headers raise more than TarError
        raise KaoganError(
            f"{shard} is not a whole tar ({' '.join(str(error).split())[:120]}); copy it again"
        ) from error


def _members(archive: tarfile.TarFile, shard: Path, skipped: list[tuple[str, str]]) -> Iterator[tarfile.TarInfo]:
    seen = 0
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]  # or every member ever met stays in memory
        seen += 1
        if seen > MAX_FILES:
            raise KaoganError(f"{shard} holds more than {MAX_FILES:,} files; split it")
        if member.isdir() or any(is_ignored(part) and part not in (".", "..") for part in member.name.split("/")):
            continue
        if member.isreg() and not member.issparse():
            yield member
        else:
            skipped.append((shown(member.name), "not a regular file"))
    skipped += [(f"{shard.name} from {place}", reason) for place, reason in damage(archive)]


def _key(name: str) -> tuple[str, str]:
    """(key of the sample, suffix of the field): the name up to the first dot of its last part, and the rest."""
    folder, _, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return f"{folder}/{stem}" if folder else stem, "." + suffix.lower()


def _holds_shards(folder: Path) -> bool:
    """Whether a folder is one of shards: with their index, or with tars and nothing that is a set by itself."""
    if (folder / MANIFEST).is_file():
        return True
    names = [each.name for each in folder.iterdir() if not is_ignored(each.name)]
    return any(name.endswith(".tar") for name in names) and not any(
        name in SIDE_FILES or PurePath(name).suffix.lower() in SUFFIXES or (folder / name).is_dir() for name in names
    )


def _holds_samples(path: Path) -> bool:
    """Whether a file is a tar, not compressed, of samples that stand together, and no set of another format with
    labels.csv or the like in it; False for a damaged one."""
    found = False
    try:
        for key, fields in _samples(path, []) if path.is_file() else ():
            if any((key + suffix).rpartition("/")[2] in SIDE_FILES for suffix in fields):
                return False
            found = found or (_is_labelled(fields) and any(map(_is_picture, fields)))
    except KaoganError:
        return False
    return found


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


def _fields(source: Source) -> dict[str, Fields]:
    """The labels of the samples of a source by their keys; none where another format keeps its labels there."""
    fields: dict[str, Fields] = {}
    for name in source.listing.side:
        if name.rpartition("/")[2] in SIDE_FILES:
            return {}
        key, suffix = _key(name)
        fields.setdefault(key, {})[suffix] = partial(source.read_side, name)
    return fields


def _is_labelled(fields: Fields) -> bool:
    return any(suffix.endswith(LABEL_FIELDS) for suffix in fields)


def _is_picture(suffix: str) -> bool:
    return "." + suffix.rpartition(".")[2] in SUFFIXES


def _pictures(suffixes: Sequence[str], labelled: bool) -> list[str]:
    """Which pictures of a sample are pictures of the set: not a mask, cat.mask.png beside cat.png, and one alone of a
    sample with labels. Where there are none, dots may be of the name: frame.0001.png and frame.0002.png."""
    found = [suffix for suffix in suffixes if suffix in SUFFIXES] or list(suffixes)
    return found[:1] if labelled else found


def _pictures_of(fields: Fields) -> tuple[list[str], int]:
    """``_pictures`` of a sample, and how many pictures there are in all."""
    found = [suffix for suffix in fields if _is_picture(suffix)]
    return _pictures(found, _is_labelled(fields)), len(found)


def _left_out(count: int, path: Path) -> list[str]:
    return [f"{count_of(count, 'picture')} of {path} left out: more of the same samples, as masks are"] if count else []


def _loaded(read: Callable[[], bytes]) -> Callable[[], bytes]:
    """Reads at once, before the tar is at its next sample; what is wrong is told when the picture is asked for."""
    data: bytes | BrokenPicture
    try:
        data = read()
    except BrokenPicture as broken:
        data = broken

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
