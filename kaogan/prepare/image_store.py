"""Image store of ``prepare``: pictures written whole, moved into the set, moved out again when they become copies.

``.prepare/store`` holds the pictures that are not in the set at the moment. Order makes a kill harmless at any point:
pictures are put into the store and the manifest tells of them; they move in, then the tables are written, then what the
tables no longer name moves out.
"""

# Strings and os: done for every picture, where a path object takes ten times as long.
# ruff: noqa: PTH103, PTH105, PTH108, PTH110, PTH116, PTH120

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from kaogan.core.atomic_io import TEMPORARY_SUFFIX, explain
from kaogan.core.progress import Progress
from kaogan.prepare.manifest import Manifest


class ImageStore:
    def __init__(self, out: Path, folder: Path, manifest: Manifest) -> None:
        self._out, self.folder, self._journal = str(out), str(folder), manifest
        self._folders: set[str] = set()
        self._published = dict(manifest.rows("SELECT key, path FROM published"))

    def add(self, key: str, suffix: str, data: bytes) -> None:
        """Put a picture aside that another machine gave back."""
        store_image(self.folder, key, suffix, data)

    def find(self, key: str, suffix: str, size: int) -> Path | None:
        """Where the picture is now, if it is whole."""
        stored = stored_path(self.folder, key, suffix)
        if file_size(stored) == size:
            return Path(stored)
        published = f"{self._out}/{self._published[key]}" if key in self._published else ""
        return Path(published) if published and file_size(published) == size else None

    def move_in(self, wanted: Collection[tuple[str, str, str]], progress: Progress | None = None) -> None:
        """``wanted``: (path in the set, key, suffix). Each picture is in the store or already there."""
        self._journal.publish((path, key) for path, key, _ in wanted)
        for done, (path, key, suffix) in enumerate(wanted, 1):
            target = f"{self._out}/{path}"
            try:
                self._make(os.path.dirname(target))
                try:
                    os.replace(stored_path(self.folder, key, suffix), target)
                except FileNotFoundError:
                    if (before := self._published.get(key)) and before != path:
                        _copy(f"{self._out}/{before}", target)  # wanted there as well, or it goes with move_out
            except OSError as error:
                raise explain(error, Path(target)) from error
            self._published[key] = path
            if progress and done % 100 == 0:
                progress(done, len(wanted), "putting pictures in place")

    def move_out(self, wanted: Iterable[str], known: Callable[[], Mapping[str, str]]) -> None:
        """Take away what is published but not ``wanted``; what is ``known`` (key -> suffix) is kept aside."""
        keep = set(wanted)
        gone = [(path, key) for path, key in self._journal.rows("SELECT path, key FROM published") if path not in keep]
        if not gone:
            return
        published = {key for path, key in self._journal.rows("SELECT path, key FROM published") if path in keep}
        aside = known()
        for path, key in gone:
            source = Path(f"{self._out}/{path}")
            try:
                if key in aside and key not in published and source.exists():
                    target = stored_path(self.folder, key, aside[key])
                    self._make(os.path.dirname(target))
                    os.replace(source, target)
                else:
                    source.unlink(missing_ok=True)
            except OSError as error:
                raise explain(error, source) from error
        self._journal.withdraw(path for path, _ in gone)
        _remove_empty(Path(self._out), (path for path, _ in gone))

    def write(self, path: str, key: str, data: bytes) -> None:
        """A picture that has no place in the store, such as a blurred companion: whole or not at all."""
        target = Path(f"{self._out}/{path}")
        try:
            self._make(str(target.parent))
            with _beside(target) as temporary:
                temporary.write_bytes(data)
        except OSError as error:
            raise explain(error, target) from error
        self._journal.publish([(path, key)])

    def holds(self, path: str, key: str) -> bool:
        """Was this picture written, and is it still there?"""
        found = next(self._journal.rows("SELECT key FROM published WHERE path = ?", (path,)), None)
        return found is not None and found[0] == key and os.path.exists(f"{self._out}/{path}")

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._folders.clear()

    def _make(self, folder: str) -> None:
        if folder not in self._folders:
            os.makedirs(folder, exist_ok=True)
            self._folders.add(folder)


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A temporary path that becomes ``target``, or is gone."""
    temporary = target.with_name(f".{target.stem}{TEMPORARY_SUFFIX}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _copy(source: str, target: str) -> None:
    with _beside(Path(target)) as temporary:
        shutil.copyfile(source, temporary)


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


def stored_path(folder: str, key: str, suffix: str) -> str:
    return f"{folder}/{key[:2]}/{key}{suffix}"


def store_image(folder: str, key: str, suffix: str, data: bytes) -> None:
    """Write a picture unless it is there already. Raises KaoganError, for a full disk too.

    Plainly and not by way of a temporary file: nothing in the store counts until the manifest lists it, which happens
    afterwards, with the size. A kill, or a power failure before the disk has it, leaves what the next run writes again.
    """
    path = stored_path(folder, key, suffix)
    if file_size(path) == len(data):
        return
    try:
        try:
            handle = os.open(path, _FLAGS, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            handle = os.open(path, _FLAGS, 0o666)
        try:
            write_all(handle, data)
        finally:
            os.close(handle)
    except OSError as error:
        with suppress(OSError):
            os.unlink(path)
        raise explain(error, Path(path)) from error


def write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def file_size(path: str) -> int:
    """Bytes, or -1 where there is nothing."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
