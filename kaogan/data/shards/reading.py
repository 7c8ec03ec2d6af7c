"""Reading and decoding of pictures out of shards, in this process or another: imports little, keeps files open."""

from __future__ import annotations

import os
import threading
import warnings
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kaogan.core.errors import KaoganError
from kaogan.data.decoding import BrokenPicture, decode
from kaogan.data.storage import Storage

_MAX_OPEN = 64  # shards


@dataclass(frozen=True)
class Place:
    """Where one picture lies."""

    shard: str
    offset: int
    size: int
    checksum: int


@dataclass(frozen=True)
class Reader:
    """Reads pictures of one sharded set. It is sent to other processes, which keep shards open between its calls.

    ``copies``: a folder of copies of shards, which are read in their place where they are whole.
    """

    where: str  # a folder or an address
    remote: bool
    image_size: int
    channels: int
    copies: str = ""

    def decode(self, places: Sequence[Place]) -> np.ndarray:
        """uint8 (N, S, S, C). Raises KaoganError for a picture that is not what the index says."""
        images = np.empty((len(places), self.image_size, self.image_size, self.channels), np.uint8)
        order = sorted(range(len(places)), key=lambda at: (places[at].shard, places[at].offset))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's hints about odd files
            for at, data in zip(order, self.read([places[at] for at in order]), strict=True):
                try:
                    images[at] = decode(data, self.image_size, self.channels)
                except BrokenPicture as broken:
                    raise self._damaged(places[at], broken.reason) from broken
        return images

    def read(self, places: Sequence[Place]) -> list[bytes]:
        """The picture files themselves. Raises KaoganError for one whose bytes are not those of the index."""
        found: list[bytes | None] = [self._from_disk(place) for place in places]
        absent = [at for at, data in enumerate(found) if data is None]
        if absent:
            names = [places[at].shard for at in absent]
            starts = [places[at].offset for at in absent]
            ends = [places[at].offset + places[at].size for at in absent]
            for at, part in zip(absent, storage_of(self.where).read_ranges(names, starts, ends), strict=True):
                # A plain web server may not know of parts and send the whole shard.
                start = places[at].offset if len(part) > places[at].size else 0
                found[at] = part[start : start + places[at].size]
        for place, data in zip(places, found, strict=True):
            assert data is not None
            if len(data) != place.size or zlib.crc32(data) != place.checksum:
                raise self._damaged(place, "its bytes are not those of the index")
        return found  # type: ignore[return-value]

    def _from_disk(self, place: Place) -> bytes | None:
        """None for what must be fetched."""
        folder = self.copies if self.remote else self.where
        if not folder:
            return None
        path = f"{folder}/{place.shard}"
        try:
            file = _OPEN.get(path)
            with _OPEN.lock:  # the place in a file is shared by the threads of a process
                file.seek(place.offset)
                return file.read(place.size)
        except OSError as error:
            if self.remote:
                return None  # not copied yet
            raise KaoganError(f"{path} cannot be read ({error.strerror or error}); copy the set again") from error

    def _damaged(self, place: Place, reason: str) -> KaoganError:
        return KaoganError(
            f"{self.where}/{place.shard} is damaged at byte {place.offset:,} ({reason}); copy or write the set again"
        )


class _OpenFiles:
    """The shards that were read last, open."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._files: OrderedDict[str, BinaryIO] = OrderedDict()
        self._process = os.getpid()

    def get(self, path: str) -> BinaryIO:
        with self.lock:
            if self._process != os.getpid():  # forked: a place in a file would be shared with the parent
                self._files, self._process = OrderedDict(), os.getpid()
            if path not in self._files:
                self._files[path] = Path(path).open("rb")  # noqa: SIM115 - kept open
            self._files.move_to_end(path)
            while len(self._files) > _MAX_OPEN:
                self._files.popitem(last=False)[1].close()
            return self._files[path]

    def forget(self, folder: str) -> None:
        """Close the files below ``folder``: it was written anew, or is to be removed."""
        with self.lock:
            for path in [path for path in self._files if path.startswith(folder)]:
                with suppress(OSError):
                    self._files.pop(path).close()


_OPEN = _OpenFiles()
_STORAGES: dict[tuple[int, str], Storage] = {}


def forget_files(folder: str) -> None:
    _OPEN.forget(folder)


def storage_of(address: str) -> Storage:
    """Its storage, one a process: connections do not survive a fork."""
    key = os.getpid(), address
    if key not in _STORAGES:
        _STORAGES[key] = Storage(address)
    return _STORAGES[key]
