"""A folder of pictures behind an address, and copies of archives that lie behind one."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from kaogan.core.atomic_io import atomic, explain
from kaogan.core.errors import KaoganError, UsageError
from kaogan.data.decoding import BrokenPicture
from kaogan.data.sources import base
from kaogan.data.sources.base import SIDE_FILES, Entry, Listing, is_ignored, not_a_picture_reason
from kaogan.data.storage import Storage, as_address

# What filesystems of fsspec call a mark that changes with a file's contents, the best first.
_MARKS = ("ETag", "etag", "md5Hash", "crc32c", "content_md5", "LastModified", "last_modified", "mtime", "updated",
          "created")  # fmt: skip


class _AddressPath(PurePosixPath):
    """A path that is shown as the address it is."""

    def __str__(self) -> str:
        return as_address(super().__str__())


class RemoteFolder:
    """A source (``sources.Source``) behind an address: listed once, each picture fetched when it is read.

    Raises UsageError where there is nothing, KaoganError when it cannot be reached.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.path: Any = _AddressPath(storage.address)  # joined and shown, as a path of this machine is
        self.stamp = "remote"
        self.listing = Listing()
        for name, facts in storage.find().items():
            self._add(name, facts)
        self.listing.sort()

    def _add(self, name: str, facts: Mapping[str, Any]) -> None:
        parts = name.split("/")
        if any(is_ignored(part) for part in parts):
            return
        size = int(facts.get("size") or 0)
        if parts[-1] in SIDE_FILES:
            self.listing.side.append(name)
        elif reason := not_a_picture_reason(name):
            self.listing.skipped.append((name, reason))
        elif size > base.MAX_BYTES:
            self.listing.skipped.append((name, f"too large: more than {base.MAX_BYTES // 2**20} MB"))
        elif len(self.listing.entries) >= base.MAX_FILES:
            raise KaoganError(f"{self.storage.address} holds more than {base.MAX_FILES:,} files; give a smaller set")
        else:
            self.listing.entries.append(Entry(name, size, _mark(facts)))

    def keep(self, indices: Sequence[int]) -> None:
        self.listing.entries = [self.listing.entries[index] for index in indices]

    def read(self, index: int) -> bytes:
        """Raises KaoganError when the storage cannot be reached: a picture is not broken because the network is."""
        try:
            return self.storage.read(self.listing.entries[index].name)
        except UsageError as error:  # it was there when the folder was listed
            raise BrokenPicture("it is gone") from error

    def read_side(self, name: str) -> bytes:
        data = self.storage.read(name)
        if len(data) > base.SIDE_LIMIT:
            raise KaoganError(f"{name} in {self.storage.address} is larger than {base.SIDE_LIMIT // 2**20} MB")
        return data


def fetched(storage: Storage, cache: Path) -> Path:
    """A copy of the file behind an address, in the cache; fetched again when its size or its mark has changed.

    Raises UsageError where there is nothing, KaoganError when it cannot be fetched or the disk is full.
    """
    facts = storage.info()
    mark = hashlib.sha256(f"{storage.address}/{facts.get('size')}/{_mark(facts)}".encode()).hexdigest()[:32]
    name = PurePosixPath(storage.root.split("?")[0]).name or "archive"
    path = cache / "downloads" / mark / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / ".lock"):
            if not path.is_file():
                with atomic(path) as temporary:
                    storage.copy_to("", temporary)
    except OSError as error:
        raise explain(error, path) from error
    return path


def _mark(facts: Mapping[str, Any]) -> int:
    found = next((facts[name] for name in _MARKS if facts.get(name) is not None), "")
    return zlib.crc32(str(found).encode())
