"""HDF5 format of the later ACGAN program: pictures and labels as arrays.

``hair_eye_imgs`` uint8 (N, S, S, 3) with ``hair_eye_labels`` (N, 2), eyes then hair; ``year_imgs`` with ``year_labels``
(N,). A picture is in one of the two. Labels are numbers; their names are kept beside them as an HDF5 attribute, which
the source's program does not look at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kaogan.core.errors import KaoganError
from kaogan.data.decoding import BrokenPicture, may_pass
from kaogan.data.formats.acgan_new import COLOURS
from kaogan.data.formats.base import FORMATS, Collection, Format, Item
from kaogan.data.formats.hdf5_probe import probe
from kaogan.data.sources.base import MAX_FILES

GROUPS = {"hair_eye": ("eyes", "hair"), "year": ("year",)}
MAX_SIDE = 4096  # px
MAX_CHUNK = 256 * 2**20  # bytes that reading one picture may unpack
H5_ERRORS = (OSError, KeyError, RuntimeError, ValueError, TypeError)  # what h5py raises for damaged files


class Hdf5(Format):
    name = "hdf5"
    title = "the later ACGAN's arrays: year_imgs, year_labels, hair_eye_imgs, hair_eye_labels in one .h5"

    def detect(self, path: Path) -> bool:
        try:
            with path.open("rb") as file:
                return file.read(8) == b"\x89HDF\r\n\x1a\n"
        except OSError:
            return False

    @contextmanager
    def read(self, path: Path) -> Iterator[Collection]:
        with open_h5(path) as file:
            try:
                parts = [_Part(path, file, group) for group in GROUPS if f"{group}_imgs" in file]
            except H5_ERRORS as error:
                raise damaged(path, error) from error
            if not parts:
                raise KaoganError(f"{path} holds neither hair_eye_imgs nor year_imgs; it is another kind of HDF5 file")
            columns = {name: Counter(cells) for part in parts for name, cells in part.cells.items()}

            def items() -> Iterator[Item]:
                for part in parts:
                    yield from part

            yield Collection(sum(len(part.images) for part in parts), items, columns)


@contextmanager
def open_h5(path: Path) -> Iterator[Any]:
    """An HDF5 file to read. Raises KaoganError when it is none, is damaged, or h5py is not installed."""
    h5py = _h5py()
    try:
        probe(path)
        file = h5py.File(path, "r")
    except H5_ERRORS as error:
        raise damaged(path, error) from error
    with file:
        yield file


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
            raise BrokenPicture(f"cannot be unpacked: {str(error)[:120]}", may_pass(error)) from error


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


FORMATS.register(Hdf5.name, Hdf5())
