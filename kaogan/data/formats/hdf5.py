"""The later ACGAN's HDF5 (system A): pictures and labels as arrays.

``hair_eye_imgs`` uint8 (N, S, S, 3) with ``hair_eye_labels`` (N, 2), eyes then hair; ``year_imgs`` with ``year_labels``
(N,). A picture is in one of the two. Labels are numbers; their names are kept beside them as an HDF5 attribute, which
the source's program does not look at.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kaogan.core.errors import KaoganError
from kaogan.data.decoding import BrokenPicture
from kaogan.data.formats.acgan_new import COLOURS, numbering
from kaogan.data.formats.base import Collection, Encoded, Item, Job
from kaogan.data.sources.base import MAX_FILES

NAME = "hdf5"
TITLE = "the later ACGAN's arrays: year_imgs, year_labels, hair_eye_imgs, hair_eye_labels in one .h5"
WRITES_FILE = True
GROUPS = {"hair_eye": ("eyes", "hair"), "year": ("year",)}
MAX_SIDE = 4096  # px
MAX_CHUNK = 256 * 2**20  # bytes that reading one picture may unpack
CHUNK = 16  # pictures
H5_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError)  # what h5py raises for damaged files


def detect(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError:
        return False


@contextmanager
def read(path: Path) -> Iterator[Collection]:
    with open_h5(path) as file:
        try:
            parts = [_Part(path, file, group) for group in GROUPS if f"{group}_imgs" in file]
        except H5_ERRORS as error:
            raise damaged(path, error) from error
        if not parts:
            raise KaoganError(f"{path} holds neither hair_eye_imgs nor year_imgs; it is another kind of HDF5 file")
        columns: dict[str, list[str]] = {}
        for part in parts:
            columns |= {name: sorted(set(cells)) for name, cells in part.cells.items()}

        def items() -> Iterator[Item]:
            for part in parts:
                yield from part

        yield Collection(sum(len(part.images) for part in parts), items, columns)


def write(job: Job, out: Path) -> None:
    numbers = numbering(job)
    left = 0
    with _create(out) as (file, disk):
        buffers = {group: _Buffer(file, group, numbers) for group in GROUPS}
        for picture in job.pictures(("PNG", "JPEG"), plain=True):
            for buffer in buffers.values():
                if all(picture.labels.get(column, "") in numbers[column] for column in buffer.columns):
                    buffer.add(picture)
                    disk.check()
                    break
            else:
                left += 1
        for buffer in buffers.values():
            buffer.close()
    job.written -= left
    if left:
        job.notes.append(f"{left:,} pictures left out: this format holds those with hair and eyes, or with a year")
    if not job.written:
        raise KaoganError("no picture has both hair and eyes, or a year, which this format needs")


@contextmanager
def open_h5(path: Path) -> Iterator[Any]:
    """An HDF5 file to read. Raises KaoganError when it is none, is damaged, or h5py is not installed."""
    h5py = _h5py()
    try:
        file = h5py.File(path, "r")
    except H5_ERRORS as error:
        raise damaged(path, error) from error
    with file:
        yield file


@contextmanager
def _create(path: Path) -> Iterator[tuple[Any, _Disk]]:
    """A new HDF5 file and the disk under it. Raises OSError when the disk is full."""
    h5py = _h5py()
    with _Disk(path, "w+") as disk:
        with h5py.File(disk, "w") as file:
            yield file, disk
        disk.check()


class _Disk(io.FileIO):
    """A file that takes everything and remembers the first error: HDF5 crashes the process when a write fails."""

    error: OSError | None = None

    def check(self) -> None:
        if self.error:
            raise self.error

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        written = 0
        try:
            while written < len(view) and not self.error:
                written += super().write(view[written:]) or 0
        except OSError as error:
            self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise KaoganError("HDF5 files need the package h5py: pip install 'kaogan[hdf5]'") from error
    return h5py


def damaged(path: Path, error: Exception) -> KaoganError:
    return KaoganError(f"{path} is not a whole HDF5 file ({' '.join(str(error).split())[:120]}); copy it again")


def dataset(path: Path, group: Any, name: str) -> Any:
    """The dataset ``name``, its numbers inside this file. Raises KaoganError for links and external or huge storage."""
    import h5py

    link = group.get(name, getlink=True)
    found = group.get(name) if isinstance(link, h5py.HardLink) else None
    if not isinstance(found, h5py.Dataset):
        raise KaoganError(f"{path}: {name} is missing or a link to elsewhere; kaogan reads what is in the file itself")
    if found.external or found.is_virtual:
        raise KaoganError(f"{path}: {name} keeps its numbers in other files, which kaogan does not open")
    if found.chunks and int(np.prod(found.chunks, dtype=object)) * found.dtype.itemsize > MAX_CHUNK:
        raise KaoganError(f"{path}: {name} is packed in chunks of more than {MAX_CHUNK // 2**20} MB; repack it")
    return found


class _Part:
    """The pictures of one group, as items."""

    def __init__(self, path: Path, file: Any, group: str) -> None:
        self.group = group
        self.images = dataset(path, file, f"{group}_imgs")
        shape, kind = self.images.shape, self.images.dtype
        if len(shape) != 4 or shape[3] != 3 or kind != np.uint8 or not all(0 < s <= MAX_SIDE for s in shape[1:3]):
            raise KaoganError(
                f"{path}: {group}_imgs must be uint8 (N, S, S, 3), S up to {MAX_SIDE}, not {kind} {shape}"
            )
        if shape[0] > MAX_FILES:
            raise KaoganError(f"{path}: {group}_imgs claims {shape[0]:,} pictures, more than {MAX_FILES:,}")
        names = GROUPS[group]
        labels = dataset(path, file, f"{group}_labels")
        wanted = [(shape[0],), (shape[0], 1)] if len(names) == 1 else [(shape[0], len(names))]
        if labels.shape not in wanted or labels.dtype.kind not in "iu":
            raise KaoganError(f"{path}: {group}_labels must be integers {wanted[0]}, not {labels.dtype} {labels.shape}")
        numbers = labels[...].reshape(shape[0], len(names))
        self.cells = {name: _texts(path, labels, name, numbers[:, column]) for column, name in enumerate(names)}

    def __iter__(self) -> Iterator[Item]:
        for index in range(len(self.images)):
            labels = {name: cells[index] for name, cells in self.cells.items()}
            yield Item(f"{self.group}/{index:06d}.png", partial(self._load, index), labels)

    def _load(self, index: int) -> np.ndarray:
        try:
            return np.asarray(self.images[index])
        except H5_ERRORS as error:
            raise BrokenPicture(f"cannot be unpacked: {str(error)[:120]}") from error


def _texts(path: Path, labels: Any, name: str, numbers: np.ndarray) -> list[str]:
    kept = labels.attrs.get(name)
    try:
        known = json.loads(kept) if isinstance(kept, str) else COLOURS.get(name)
        if known is not None and not all(isinstance(value, str) for value in known):
            raise ValueError
    except (ValueError, RecursionError, TypeError):
        raise KaoganError(f"{path}: the names of {name} are not a JSON list of words") from None
    if not known:
        return [str(number) for number in numbers]
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(known):
        raise KaoganError(f"{path}: a {name} label is outside of 0 to {len(known) - 1}")
    return [known[number] for number in numbers]


class _Buffer:
    """Pictures of one group on their way into the file."""

    def __init__(self, file: Any, group: str, numbers: Mapping[str, Mapping[str, int]]) -> None:
        self.file, self.group, self.numbers = file, group, numbers
        self.columns = GROUPS[group]
        self.images: Any = None
        self.waiting: list[np.ndarray] = []
        self.labels: list[list[int]] = []

    def add(self, picture: Encoded) -> None:
        pixels = np.asarray(picture.picture)
        if self.images is None:
            height, width, _ = pixels.shape
            if max(height, width) > MAX_SIDE:
                raise KaoganError(f"{picture.name} is {width} x {height} px, more than {MAX_SIDE}; give --size")
            self.images = self.file.create_dataset(
                f"{self.group}_imgs", (0, height, width, 3), np.uint8, maxshape=(None, height, width, 3),
                chunks=(CHUNK if height * width <= 256 * 256 else 1, height, width, 3),
            )  # fmt: skip
        if pixels.shape != self.images.shape[1:]:
            height, width = self.images.shape[1:3]
            raise KaoganError(
                f"{picture.name} is {picture.size[0]} x {picture.size[1]} px, the first picture {width} x {height}; "
                "this format needs one size: give --size"
            )
        self.waiting.append(pixels)
        self.labels.append([self.numbers[column][picture.labels[column]] for column in self.columns])
        if len(self.waiting) == CHUNK:
            self._flush()

    def _flush(self) -> None:
        if self.waiting:
            self.images.resize(len(self.labels), 0)
            self.images[-len(self.waiting) :] = np.stack(self.waiting)
            self.waiting = []

    def close(self) -> None:
        if self.images is None:
            return
        self._flush()
        labels = np.array(self.labels, np.int64)
        kept = self.file.create_dataset(f"{self.group}_labels", data=labels[:, 0] if labels.shape[1] == 1 else labels)
        for column in self.columns:
            kept.attrs[column] = json.dumps(list(self.numbers[column]))
