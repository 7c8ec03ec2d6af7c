"""Archives as picture sources: the base class of zip and tar.

Members are listed once and read one at a time, within limits, into memory. Nothing is ever written to a name that an
archive chose.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError
from kaogan.data.decoding import BrokenPicture, may_pass
from kaogan.data.sources import base
from kaogan.data.sources.base import SIDE_FILES, Entry, Listing, natural
from kaogan.data.sources.names import decode_names

Self = TypeVar("Self", bound="Archive")


class Member(NamedTuple):
    """One member of an archive, as its headers describe it."""

    name: str
    folder: bool
    regular: bool  # neither a link nor a device
    size: int  # bytes, unpacked
    stamp: int
    place: Any  # what the archive reads it by
    refused: str | None = None  # why it cannot be read


class Archive(ABC):
    """A source (``sources.Source``) in one file. Raises KaoganError when it is no whole ``kind``."""

    kind: str

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listing = Listing()
        self._lock = threading.Lock()
        self._side: dict[str, tuple[Any, int]] = {}
        with self._explaining(OSError):
            status = path.stat()
            self._open(path)
        self.stamp = f"{self.kind}/{status.st_size}/{status.st_mtime_ns}"
        found: list[tuple[Entry, Any]] = []
        try:
            with self._explaining():
                for count, member in enumerate(self._members()):
                    if count >= base.MAX_FILES:
                        raise KaoganError(f"{path} holds more than {base.MAX_FILES:,} files; give a smaller set")
                    self._add(member, found)
        except BaseException:
            self._close()
            raise
        self._decode_surrogates(found)
        found.sort(key=lambda each: natural(each[0].name))
        twice = sum(one.name == other.name for (one, _), (other, _) in pairwise(found))
        if twice:
            self.listing.notes.append(
                f"{twice:,} names are in {path} more than once: each is read as a picture, labels are those of the last"
            )
        self.listing.entries = [entry for entry, _ in found]
        self._places = [place for _, place in found]
        self.listing.sort_skipped()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def keep(self, indices: Sequence[int]) -> None:
        self.listing.entries = [self.listing.entries[index] for index in indices]
        self._places = [self._places[index] for index in indices]

    def read(self, index: int) -> bytes:
        size = self.listing.entries[index].size
        try:
            # One lock: the members share one open file. Decoding, the slow part, happens outside.
            with self._lock:
                data = self._read(self._places[index], size, base.MAX_BYTES)
        except Exception as error:  # hostile bytes raise zlib.error, struct.error, NotImplementedError ...
            reason = getattr(error, "strerror", None) or str(error)[:120] or type(error).__name__
            raise BrokenPicture(f"cannot be unpacked: {reason}", may_pass(error)) from error
        if len(data) > base.MAX_BYTES:
            raise BrokenPicture(f"too large: more than {base.MAX_BYTES // 2**20} MB")
        if len(data) < size:
            raise BrokenPicture(f"cannot be unpacked: the {self.kind} ends before it does")
        return data

    def read_side(self, name: str) -> bytes:
        try:
            with self._lock:
                data = self._read(*self._side[name], base.SIDE_LIMIT)
        except Exception as error:
            raise KaoganError(
                f"{name} in {self.path} cannot be unpacked ({error}); pack the {self.kind} again"
            ) from error
        if len(data) > base.SIDE_LIMIT:
            raise base.too_large_side(name, self.path)
        return data

    @abstractmethod
    def _open(self, path: Path) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...

    @abstractmethod
    def _members(self) -> Iterator[Member]: ...

    @abstractmethod
    def _read(self, place: Any, size: int, limit: int) -> bytes:
        """The bytes of a member of ``size`` bytes, at most ``limit`` + 1 of them."""

    def _add(self, member: Member, found: list[tuple[Entry, Any]]) -> None:
        # Some Windows tools write backslashes; in names that are not text they may be half of a character.
        name = member.name if _has_surrogates(member.name) else member.name.replace("\\", "/")
        name = name.removeprefix("./")
        parts = name.split("/")
        if member.folder or any(base.is_ignored(part) and part not in (".", "..") for part in parts):
            return
        if reason := self._refused(member, name, parts):
            self.listing.skipped.append((name, reason))
        elif self._is_side(parts[-1]):
            self.listing.side.append(name)
            self._side[name] = member.place, member.size
        else:
            found.append((Entry(name, member.size, member.stamp), member.place))

    def _decode_surrogates(self, found: list[tuple[Entry, Any]]) -> None:
        """Names of a tar that are not UTF-8 come with surrogates in the place of bytes."""
        at = [
            index for index, (entry, _) in enumerate(found) if not entry.name.isascii() and _has_surrogates(entry.name)
        ]
        decoded = (
            decode_names([found[index][0].name.encode("utf-8", "surrogateescape") for index in at]) if at else None
        )
        if decoded is None:
            return
        names, encoding = decoded
        self.listing.notes.append(f"names in {self.path} read as {encoding}")
        for index, name in zip(at, names, strict=True):
            entry, place = found[index]
            found[index] = Entry(name, entry.size, entry.stamp), place

    def _refused(self, member: Member, name: str, parts: list[str]) -> str | None:
        """Why a member is passed over. Its name is only ever shown, but one that climbs out tells of ill will."""
        if name.startswith("/") or name[1:2] == ":" or ".." in parts:
            return f"its path leads out of the {self.kind}"
        if not member.regular:
            return "not a regular file"
        if self._is_side(parts[-1]):
            return member.refused
        if reason := base.not_a_picture_reason(name):
            return reason
        if member.size > base.MAX_BYTES:
            return f"too large: unpacks to more than {base.MAX_BYTES // 2**20} MB"
        return member.refused

    def _is_side(self, base_name: str) -> bool:
        return base_name in SIDE_FILES

    def _explaining(self, *plain: type[OSError]) -> _ArchiveErrors:
        return _ArchiveErrors(self.path, self.kind, plain)


def _has_surrogates(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


class _ArchiveErrors:
    """Turns what a damaged or hostile archive makes a library raise into one line."""

    def __init__(self, path: Path, kind: str, plain: tuple[type[OSError], ...]) -> None:
        self._path, self._kind, self._plain = path, kind, plain

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, KaoganError) or not isinstance(error, Exception):
            return
        if isinstance(error, self._plain):
            raise explain(error, self._path) from error
        raise KaoganError(f"{self._path} is not a whole {self._kind} ({error}); download or pack it again") from error
