"""Loading of datasets: the pictures of any source as one memory-mapped array, with their labels."""

from __future__ import annotations

import mmap
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.progress import Progress
from kaogan.core.schema import Schema
from kaogan.core.text import shown
from kaogan.data.cache import cache_folder, cached_pictures, fingerprint_of, in_order
from kaogan.data.checksums import content_checksums
from kaogan.data.decoding import BrokenPicture, decode
from kaogan.data.folder_classes import Choice
from kaogan.data.formats import layout_of, pictures_of
from kaogan.data.labels import LabelTable, choose_attributes, cleaned, count_of
from kaogan.data.shards.images import ShardedImages
from kaogan.data.shards.index import ShardIndex
from kaogan.data.shards.opening import open_images, open_shards
from kaogan.data.sources import Source, open_source
from kaogan.data.storage import as_address, is_address

Merge = Mapping[str, Mapping[str, Sequence[str]]]
AVATARS = "avatars"


class Images(Protocol):
    """uint8 (N, S, S, C), indexed as an array: one in memory, or ``ShardedImages``."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...


@dataclass(frozen=True)
class PictureSet:
    """Pictures of one size with what is known about them. N pictures, K attributes."""

    images: Images  # read-only: memory-mapped, or decoded out of shards when they are asked for
    labels: np.ndarray  # int64 (N, K), -1 unknown
    schema: Schema
    names: Sequence[str]
    skipped: tuple[tuple[str, str], ...]  # (name, reason)
    notes: tuple[str, ...]
    source: str  # the path, or "avatars"
    fingerprint: str  # hex; changes with the names, sizes or contents of the pictures, or the decode settings
    former_fingerprints: tuple[str, ...] = ()  # those that earlier releases gave to the same set
    typicality: np.ndarray | None = None  # float32 (N,), where a training asks for it
    typicality_with_eyes: bool = False  # whether eyes count in it
    selected_from: int | None = None  # pictures of the set that these are the most typical ones of

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, most: int, seed: int = 0) -> PictureSet:
        """At most ``most`` of the pictures of a set in shards, drawn at random; any other set whole."""
        if not isinstance(self.images, ShardedImages) or len(self) <= most:
            return self
        rows = np.sort(np.random.default_rng(seed).permutation(len(self))[:most])
        fingerprint = fingerprint_of("sample", self.fingerprint, most, seed)
        names = [self.names[row] for row in rows.tolist()]
        return replace(
            self, images=self.images.subset(rows), labels=self.labels[rows], names=names, fingerprint=fingerprint,
            typicality=None,
        )  # fmt: skip

    def batches(self, size: int, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """uint8 (n, S, S, C), n <= ``size``: the pictures of ``rows``, or all, in order.

        Pages that were read are given back: a set of 100,000 pictures would else be held in memory, a gigabyte.
        """
        count = len(self) if rows is None else len(rows)
        parts = (slice(start, start + size) for start in range(0, count, size))
        if isinstance(self.images, ShardedImages):
            yield from self.images.stream((np.arange(count) if rows is None else rows)[part] for part in parts)
            return
        for part in parts:
            yield np.array(self.images[part if rows is None else rows[part]])
            base = getattr(self.images, "base", None)
            if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                base.madvise(mmap.MADV_DONTNEED)


def load_pictures(
    source: Path | str | None,
    *,
    image_size: int,
    channels: int = 3,
    attributes: Sequence[str] | None = None,
    merge: Merge | None = None,
    classes: Choice = "auto",
    cache: Path | None = None,
    avatar_count: int = 6000,
    avatar_seed: int = 0,
    avatars_mirrored: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> PictureSet:
    """Read a folder, a zip, a tar or (``source=None``) the built-in avatars, decoded once into the cache; or a set in
    shards, which is decoded where it is used, by ``workers`` processes. Each but the avatars may also lie behind an
    address of fsspec (``s3://bucket/faces``).

    ``attributes``: None for no labels, ``["auto"]`` for every column that is one, or names. ``merge`` makes new classes
    out of groups of old ones: ``{"year": {"early": ["2000", "2001"]}}``. ``classes``: whether the sub-folders of a set
    without files of labels are classes: "auto" takes those beyond doubt, "ask" raises UsageError in doubt. Without
    ``avatars_mirrored`` all avatars look to the right.
    ``progress(done, total, what)`` is called while pictures are made, not when they come from the cache. Pictures that
    cannot be used are in ``skipped``.
    Raises UsageError for a path, attribute or value that does not exist, KaoganError when no picture can be read.
    """
    if isinstance(attributes, str):
        attributes = [attributes]
    if image_size < 1 or channels not in (1, 3):
        raise UsageError(f"pictures of size {image_size} with {channels} channels: size from 1 up, channels 1 or 3")
    if source is None:
        drawn = avatar_count, avatar_seed, avatars_mirrored
        return _avatars(image_size, channels, attributes, merge, cache, *drawn, progress)
    if not str(source).strip():
        raise UsageError("no folder, zip or tar of pictures is named; give its path")
    if (index := open_shards(source)) is not None:
        return _sharded(index, source, (image_size, channels), attributes, merge, cache_folder(cache), workers)
    with open_source(source, cache=cache) as opened:
        listing = opened.listing
        if not listing.entries:
            raise _nothing(opened, listing.skipped)
        layout, _ = layout_of(opened, classes) if attributes else (pictures_of(opened), "")
        table = cleaned(layout.table)
        sums = content_checksums(opened, cache_folder(cache), progress)
        entries = [(listing.entries[i].name, listing.entries[i].size, sums[i]) for i in layout.indices]
        fingerprint = fingerprint_of("content", image_size, channels, entries)
        images, names, skipped, passing, remade = cached_pictures(
            cache_folder(cache),
            fingerprint,
            (image_size, image_size, channels),
            lambda: _decoded(opened, layout.indices, image_size, channels, progress),
            lambda failed: _have_passed(opened, layout.indices, failed, image_size, channels),
        )
        if passing:  # another set than the whole: statistics are kept under its fingerprint
            fingerprint = fingerprint_of("without", fingerprint, passing)
            several = f"{count_of(len(passing), 'picture')} could not be read this time, first {shown(passing[0])}"
            remade = [
                *remade,
                f"{several}; the next run tries again (a training that goes on then needs --allow-changes)",
            ]
        skipped = [each for each in listing.skipped if each[0] not in layout.side] + skipped
        if not names:
            raise _nothing(opened, skipped)
        rows = _rows([name for name, _, _ in entries], names)
        labels, schema, notes = _chosen(table, rows, attributes, merge)
        notes = [
            *listing.notes,
            *([f"labels from {table.where}: {', '.join(map(shown, schema.names))}"] if schema else []),
            *remade,
            *notes,
        ]
    return PictureSet(
        images,
        labels,
        schema,
        tuple(map(shown, names)),
        tuple((shown(name), reason) for name, reason in skipped),
        tuple(notes),
        as_address(source) if is_address(source) else str(source),
        fingerprint,
        (_fingerprint_by_times(opened, image_size, channels),),
    )


def _sharded(
    index: ShardIndex,
    source: Path | str,
    shape: tuple[int, int],
    attributes: Sequence[str] | None,
    merge: Merge | None,
    cache: Path,
    workers: int | None,
) -> PictureSet:
    where = as_address(source) if is_address(source) else str(source)
    table = cleaned(LabelTable(dict(index.labels), where))
    labels, schema, notes = _chosen(table, range(len(index)), attributes, merge)
    if schema:
        notes.insert(0, f"labels from {where}: {', '.join(map(shown, schema.names))}")
    images = open_images(index, source, shape, cache, workers)
    fingerprint = fingerprint_of("shards", *shape, index.digest)
    return PictureSet(images, labels, schema, index.names, (), tuple(notes), where, fingerprint)


def _fingerprint_by_times(source: Source, image_size: int, channels: int) -> str:
    """The fingerprint that kaogan 0.1 gave to the set, by which runs that it began are known."""
    entries = [(entry.name, entry.size, entry.stamp) for entry in source.listing.entries]
    return fingerprint_of("pictures", image_size, channels, source.stamp, entries)


def _rows(entries: Sequence[str], names: Sequence[str]) -> list[int]:
    """The places of ``names`` in ``entries``, of which it is a part in the same order."""
    rows, left = [], iter(enumerate(entries))
    for name in names:
        rows.append(next(at for at, entry in left if entry == name))
    return rows


def _decoded(
    source: Source, indices: Sequence[int], image_size: int, channels: int, progress: Progress | None
) -> Iterator[tuple[str, np.ndarray | BrokenPicture]]:
    """Every entry of ``indices`` in order: its picture, or why there is none."""

    def work(index: int) -> np.ndarray | BrokenPicture:
        try:
            return decode(source.read(index), image_size, channels)
        except BrokenPicture as broken:
            return broken

    entries = source.listing.entries
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's hints about odd files; what cannot be used is listed with a reason
        for done, (index, result) in enumerate(in_order(indices, work), 1):
            yield entries[index].name, result
            if progress:
                progress(done, len(indices), "reading pictures")


def _have_passed(source: Source, indices: Sequence[int], failed: Sequence[str], image_size: int, channels: int) -> bool:
    """Whether the reason why one of the ``failed`` could not be read holds no longer."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return False  # processes of one run train on the same set, the one that the first has made
    names = set(failed)
    again = [index for index in indices if source.listing.entries[index].name in names]
    found = _decoded(source, again, image_size, channels, None)
    return any(not (isinstance(result, BrokenPicture) and result.passing) for _, result in found)


def _chosen(
    table: LabelTable, rows: Sequence[int], attributes: Sequence[str] | None, merge: Merge | None
) -> tuple[np.ndarray, Schema, list[str]]:
    """The labels of some ``rows`` of the table: int64 (rows, K), their schema, notes."""
    if not attributes:
        if merge:
            raise UsageError(f"cannot merge values of '{next(iter(merge))}': no attributes are asked for")
        return np.empty((len(rows), 0), np.int64), Schema(), list(table.notes)
    every = rows == range(len(rows))
    columns = {name: cells if every else [cells[row] for row in rows] for name, cells in table.columns.items()}
    labels, schema, notes = choose_attributes(LabelTable(columns, table.where, table.notes), attributes, merge)
    if not schema:
        notes.append(f"no labels found in {table.where}")
        labels = np.empty((len(rows), 0), np.int64)
    return labels, schema, notes


def _nothing(source: Source, skipped: Sequence[tuple[str, str]]) -> KaoganError:
    if any(name.endswith(".tar") for name, _ in skipped):
        return KaoganError(
            f"{source.path} holds tars without an index; kaogan convert {source.path} OUT --to webdataset writes one"
        )
    if not skipped:
        return KaoganError(f"{source.path} holds no pictures; put JPEG, PNG, WebP, BMP, GIF or AVIF files there")
    name, reason = skipped[0]
    return KaoganError(
        f"{source.path} holds no picture that can be read: {len(skipped)} skipped, first {shown(name)} ({reason})"
    )


def _avatars(
    image_size: int,
    channels: int,
    attributes: Sequence[str] | None,
    merge: Merge | None,
    cache: Path | None,
    count: int,
    seed: int,
    mirrored: bool,
    progress: Progress | None,
) -> PictureSet:
    from kaogan.data import avatars

    if count < 1:
        raise UsageError(f"avatar count {count}: at least 1")
    one_way = () if mirrored else ("all to the right",)
    fingerprint = fingerprint_of("avatars", avatars.VERSION, image_size, channels, count, seed, *one_way)

    def draw() -> Iterator[tuple[str, np.ndarray]]:
        for index, picture in avatars.draw_each(count, image_size, seed):
            if not mirrored and avatars.is_mirrored(index, seed):
                picture = avatars.mirror(picture)
            if channels == 1:
                picture = np.asarray(Image.fromarray(picture).convert("L"))[..., None]
            yield avatars.name_of(index), picture
            if progress:
                progress(index + 1, count, "drawing avatars")

    images, names, _, _, remade = cached_pictures(
        cache_folder(cache), fingerprint, (image_size, image_size, channels), draw
    )
    labels = np.empty((count, 0), np.int64)
    schema, notes = Schema(), list(remade)
    if attributes:
        pairs = [avatars.labels_of(index, seed) for index in range(count)]
        columns = {"hair": [avatars.HAIR_NAMES[h] for h, _ in pairs], "eyes": [avatars.EYE_NAMES[e] for _, e in pairs]}
        table = LabelTable(columns, "the avatars", notes)
        labels, schema, notes = choose_attributes(table, attributes, merge)
    return PictureSet(images, labels, schema, tuple(names), (), tuple(notes), AVATARS, fingerprint)
