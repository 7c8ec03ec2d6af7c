"""``load_pictures``: any set a user can name, as one memory-mapped array with labels."""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.schema import Schema
from kaogan.data import labels as labelling
from kaogan.data.cache import cache_folder, fingerprint_of, in_order, remembered
from kaogan.data.decoding import BrokenPicture, decode
from kaogan.data.sources.base import Source, open_source, shown

Progress = Callable[[int, int, str], None]
Merge = Mapping[str, Mapping[str, Sequence[str]]]
AVATARS = "avatars"


@dataclass(frozen=True)
class PictureSet:
    """Pictures of one size with what is known about them. N pictures, K attributes."""

    images: np.ndarray  # uint8 (N, S, S, C), memory-mapped, read-only
    labels: np.ndarray  # int64 (N, K), -1 unknown
    schema: Schema
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]  # (name, reason)
    notes: tuple[str, ...]
    source: str  # the path, or "avatars"
    fingerprint: str  # hex; changes with the source's names, sizes, times or the decode settings

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
        """uint8 (n, S, S, C), n <= ``size``: the pictures of ``rows``, or all, in order.

        Pages that were read are given back: a set of 100,000 pictures would else be held in memory, a gigabyte.
        """
        count = len(self) if rows is None else len(rows)
        for start in range(0, count, size):
            part = slice(start, start + size)
            yield np.array(self.images[part if rows is None else rows[part]])
            if isinstance(self.images.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                self.images.base.madvise(mmap.MADV_DONTNEED)


def load_pictures(
    source: Path | str | None,
    *,
    image_size: int,
    channels: int = 3,
    attributes: Sequence[str] | None = None,
    merge: Merge | None = None,
    cache: Path | None = None,
    avatar_count: int = 6000,
    avatar_seed: int = 0,
    progress: Progress | None = None,
) -> PictureSet:
    """Read a folder, a zip, a tar or (``source=None``) the built-in avatars, decoded once into the cache.

    ``attributes``: None for no labels, ``["auto"]`` for every column that is one, or names. ``merge`` makes new classes
    out of groups of old ones: ``{"year": {"early": ["2000", "2001"]}}``. ``progress(done, total, what)`` is called
    while pictures are made, not when they come from the cache. Pictures that cannot be used are in ``skipped``.
    Raises UsageError for a path, attribute or value that does not exist, KaoganError when no picture can be read.
    """
    if isinstance(attributes, str):
        attributes = [attributes]
    if image_size < 1 or channels not in (1, 3):
        raise UsageError(f"pictures of size {image_size} with {channels} channels: size from 1 up, channels 1 or 3")
    if source is None:
        return _avatars(image_size, channels, attributes, merge, cache, avatar_count, avatar_seed, progress)
    if not str(source).strip():
        raise UsageError("no folder, zip or tar of pictures is named; give its path")
    with open_source(Path(source)) as opened:
        listing = opened.listing
        entries = [(entry.name, entry.size, entry.stamp) for entry in listing.entries]
        fingerprint = fingerprint_of("pictures", image_size, channels, opened.stamp, entries)
        if not entries:
            raise _nothing(opened, listing.skipped)
        images, names, skipped = remembered(
            cache_folder(cache),
            fingerprint,
            (image_size, image_size, channels),
            lambda: _decoded(opened, image_size, channels, progress),
        )
        skipped = listing.skipped + skipped
        if not names:
            raise _nothing(opened, skipped)
        labels, schema, notes = _labels(opened, names, [name for name, _ in skipped], attributes, merge)
    return PictureSet(
        images,
        labels,
        schema,
        tuple(map(shown, names)),
        tuple((shown(name), reason) for name, reason in skipped),
        tuple(notes),
        str(source),
        fingerprint,
    )


def _decoded(
    source: Source, image_size: int, channels: int, progress: Progress | None
) -> Iterator[tuple[str, np.ndarray | str]]:
    """Every entry in order: its picture, or the reason why there is none."""

    def work(index: int) -> np.ndarray | str:
        try:
            return decode(source.read(index), image_size, channels)
        except BrokenPicture as broken:
            return broken.reason

    entries = source.listing.entries
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's hints about odd files; what cannot be used is listed with a reason
        for index, result in in_order(range(len(entries)), work):
            yield entries[index].name, result
            if progress:
                progress(index + 1, len(entries), "reading pictures")


def _labels(
    source: Source, names: Sequence[str], others: Sequence[str], attributes: Sequence[str] | None, merge: Merge | None
) -> tuple[np.ndarray, Schema, list[str]]:
    if not attributes:
        if merge:
            raise UsageError(f"cannot merge values of '{next(iter(merge))}': no attributes are asked for")
        return np.empty((len(names), 0), np.int64), Schema(), []
    table = table_of(source, names, others)
    labels, schema, notes = labelling.choose(table, attributes, merge)
    if not schema:
        notes.append(f"no labels found in {source.path}")
        labels = np.empty((len(names), 0), np.int64)
    return labels, schema, notes


def table_of(source: Source, names: Sequence[str], others: Sequence[str]) -> labelling.Table:
    """The columns of the labels.csv in ``source``, else the sub-folder of each picture. Raises KaoganError."""
    found = source.listing.labels
    if not found:
        return labelling.class_table(names, str(source.path))
    depth = min(name.count("/") for name in found)
    top = sorted(name for name in found if name.count("/") == depth)
    if len(top) > 1:
        raise KaoganError(f"{source.path} holds several sets ({top[0]}, {top[1]}); give the folder of one of them")
    folder = str(PurePosixPath(top[0]).parent)
    prefix = "" if folder == "." else folder + "/"
    return labelling.read_table(source.read_labels(top[0]), f"{source.path}/{shown(top[0])}", prefix, names, others)


def _nothing(source: Source, skipped: Sequence[tuple[str, str]]) -> KaoganError:
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
    progress: Progress | None,
) -> PictureSet:
    from kaogan.data import avatars

    if count < 1:
        raise UsageError(f"avatar count {count}: at least 1")
    fingerprint = fingerprint_of("avatars", avatars.VERSION, image_size, channels, count, seed)

    def draw() -> Iterator[tuple[str, np.ndarray]]:
        for index, picture in avatars.draw_each(count, image_size, seed):
            if channels == 1:
                picture = np.asarray(Image.fromarray(picture).convert("L"))[..., None]
            yield avatars.name_of(index), picture
            if progress:
                progress(index + 1, count, "drawing avatars")

    images, names, _ = remembered(cache_folder(cache), fingerprint, (image_size, image_size, channels), draw)
    labels = np.empty((count, 0), np.int64)
    schema, notes = Schema(), list[str]()
    if attributes:
        pairs = [avatars.labels_of(index, seed) for index in range(count)]
        columns = {"hair": [avatars.HAIR_NAMES[h] for h, _ in pairs], "eyes": [avatars.EYE_NAMES[e] for _, e in pairs]}
        table = labelling.Table(columns, "the avatars", [])
        labels, schema, notes = labelling.choose(table, attributes, merge)
    return PictureSet(images, labels, schema, tuple(names), (), tuple(notes), AVATARS, fingerprint)
