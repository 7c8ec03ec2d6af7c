"""A folder of pictures as a source, flat or nested."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError
from kaogan.data.sources import base
from kaogan.data.sources.base import SIDE_FILES, Entry, Listing, is_ignored, not_a_picture_reason


class Folder:
    """A folder, flat or nested. Links are followed to files inside the folder only."""

    def __init__(self, path: Path, without: Collection[Path] = ()) -> None:
        self.path = path
        self._without = frozenset(map(str, without))
        self.stamp = "folder"
        self.listing = Listing()
        try:
            self._root = path.resolve(strict=True)
            self._walk(self._root, "")
        except OSError as error:
            raise explain(error, path) from error
        self.listing.sort()

    def _walk(self, folder: Path, prefix: str) -> None:
        """Depth first with an explicit stack: a deep tree is no recursion error."""
        waiting = [(folder, prefix)]
        while waiting:
            folder, prefix = waiting.pop()
            try:
                with os.scandir(folder) as found:
                    items = [item for item in found if not is_ignored(item.name)]
            except OSError as error:
                if not prefix:
                    raise
                self.listing.skipped.append((prefix, f"folder cannot be read: {error.strerror or error}"))
                continue
            for item in items:
                if item.path in self._without:
                    continue
                if item.is_dir(follow_symlinks=False):
                    waiting.append((Path(item.path), f"{prefix}{item.name}/"))
                else:
                    self._add(item, prefix + item.name)

    def _add(self, item: os.DirEntry[str], name: str) -> None:
        if reason := self._refused(item, name):
            self.listing.skipped.append((name, reason))
        elif item.name in SIDE_FILES:
            self.listing.side.append(name)
        else:
            status = item.stat()
            self.listing.entries.append(Entry(name, status.st_size, status.st_mtime_ns))
            if len(self.listing.entries) > base.MAX_FILES:
                raise KaoganError(f"{self.path} holds more than {base.MAX_FILES:,} files; give a smaller set")

    def _refused(self, item: os.DirEntry[str], name: str) -> str | None:
        try:
            if item.is_symlink():
                target = Path(item.path).resolve(strict=True)
                if not target.is_relative_to(self._root):
                    return "link that leads out of the folder"
                if target.is_dir():
                    return "link to a folder"
            if not item.is_file():
                return "not a regular file"
            if item.name in SIDE_FILES:
                return None
            if reason := not_a_picture_reason(name):
                return reason
            if item.stat().st_size > base.MAX_BYTES:
                return f"too large: more than {base.MAX_BYTES // 2**20} MB"
        except (OSError, RuntimeError) as error:
            return f"cannot be opened: {getattr(error, 'strerror', None) or error}"
        return None

    def keep(self, indices: Sequence[int]) -> None:
        self.listing.entries = [self.listing.entries[index] for index in indices]

    def read(self, index: int) -> Path:
        return self._root / self.listing.entries[index].name

    def read_side(self, name: str) -> bytes:
        try:
            with (self._root / name).open("rb") as file:
                data = file.read(base.SIDE_LIMIT + 1)
        except OSError as error:
            raise explain(error, self.path / name) from error
        if len(data) > base.SIDE_LIMIT:
            raise base.too_large_side(name, self.path)
        return data
