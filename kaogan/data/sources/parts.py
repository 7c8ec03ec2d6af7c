"""Pictures as a process or a machine can be told to read them itself, where it sees the archive or the address."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kaogan.core.errors import UsageError
from kaogan.data.decoding import BrokenPicture
from kaogan.data.shards.reading import storage_of
from kaogan.data.sources.base import Source
from kaogan.data.sources.remote import RemoteFolder
from kaogan.data.sources.tar import Tar


class Part(Protocol):
    def read(self) -> bytes:
        """Raises BrokenPicture; OSError or KaoganError when it cannot be reached."""
        ...


@dataclass(frozen=True)
class TarPart:
    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) < self.size:
            raise BrokenPicture("cannot be unpacked: the tar ends before it does")
        return data


@dataclass(frozen=True)
class RemotePart:
    address: str
    name: str

    def read(self) -> bytes:
        try:
            return storage_of(self.address).read(self.name)
        except UsageError as error:  # it was there when the folder was listed
            raise BrokenPicture("it is gone") from error


def part_of(source: Source, index: int) -> Part | None:
    """How another process reads entry number ``index``; None where this one has to."""
    if isinstance(source, RemoteFolder):
        return RemotePart(source.storage.address, source.listing.entries[index].name)
    if isinstance(source, Tar) and (offset := source.offset(index)) is not None:
        return TarPart(source.path.expanduser().resolve(), offset, source.listing.entries[index].size)
    return None
