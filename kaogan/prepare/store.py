"""The pictures on their way into a set: written whole, moved into place, moved out again when they become copies.

``.prepare/store`` holds the pictures that are not in the set at the moment. Order makes a kill harmless at any point:
pictures move in, then the tables are written, then what the tables no longer name moves out.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from kaogan.files import TEMPORARY_SUFFIX, explain
from kaogan.prepare.journal import Journal


class Store:
    def __init__(self, out: Path, folder: Path, journal: Journal) -> None:
        self._out, self._folder, self._journal = out, folder, journal
        self._folders: set[Path] = set()
        self._published = dict(journal.rows("SELECT key, path FROM published"))

    def add(self, key: str, suffix: str, data: bytes) -> None:
        """Write a picture whole or not at all. Not synced: after a power failure the next run sees a wrong size."""
        self._write(self._path(key, suffix), data)

    def find(self, key: str, suffix: str, size: int) -> Path | None:
        """Where the picture is now, if it is whole."""
        stored = self._path(key, suffix)
        if _size(stored) == size:
            return stored
        published = self._out / self._published[key] if key in self._published else None
        return published if published and _size(published) == size else None

    def move_in(self, wanted: Mapping[str, tuple[str, str]]) -> None:
        """``wanted``: path in the set -> (key, suffix). Each picture is in the store or already there."""
        self._journal.publish((path, key) for path, (key, _) in wanted.items())
        for path, (key, suffix) in wanted.items():
            stored, target = self._path(key, suffix), self._out / path
            try:
                self._make(target.parent)
                if stored.exists():
                    stored.replace(target)
                elif (before := self._published.get(key)) and before != path:
                    _copy(self._out / before, target)  # it may be wanted there as well, or goes with move_out
            except OSError as error:
                raise explain(error, target) from error
            self._published[key] = path

    def move_out(self, wanted: Iterable[str], known: Mapping[str, str]) -> None:
        """Take away what is published but not ``wanted``; what is ``known`` (key -> suffix) is kept aside."""
        keep = set(wanted)
        gone = [(path, key) for path, key in self._journal.rows("SELECT path, key FROM published") if path not in keep]
        published = {key for path, key in self._journal.rows("SELECT path, key FROM published") if path in keep}
        for path, key in gone:
            source = self._out / path
            try:
                if key in known and key not in published and source.exists():
                    target = self._path(key, known[key])
                    self._make(target.parent)
                    source.replace(target)
                else:
                    source.unlink(missing_ok=True)
            except OSError as error:
                raise explain(error, source) from error
        self._journal.withdraw(path for path, _ in gone)
        _remove_empty(self._out, (path for path, _ in gone))

    def write(self, path: str, key: str, data: bytes) -> None:
        """A picture that has no place in the store, such as a blurred companion."""
        self._write(self._out / path, data)
        self._journal.publish([(path, key)])

    def holds(self, path: str, key: str) -> bool:
        """Was this picture written, and is it still there?"""
        found = next(self._journal.rows("SELECT key FROM published WHERE path = ?", (path,)), None)
        return found is not None and found[0] == key and (self._out / path).exists()

    def clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folders.clear()

    def _write(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f".{path.stem}{TEMPORARY_SUFFIX}{path.suffix}")
        try:
            self._make(path.parent)
            try:
                temporary.write_bytes(data)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise explain(error, path) from error

    def _path(self, key: str, suffix: str) -> Path:
        return self._folder / key[:2] / (key + suffix)

    def _make(self, folder: Path) -> None:
        if folder not in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.stem}{TEMPORARY_SUFFIX}{target.suffix}")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_empty(out: Path, paths: Iterable[str]) -> None:
    out = out.resolve()
    for folder in {(out / path).parent.resolve() for path in paths}:
        for each in (folder, *folder.parents):
            if each in (out, out.parent) or out.parent not in each.parents:
                break
            try:
                each.rmdir()
            except OSError:
                break
