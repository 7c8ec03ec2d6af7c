"""Where a picture lies in ``.prepare/store``, and how it gets there: for the process that examined it as well."""

# Strings and os: done for every picture, where a path object takes ten times as long.
# ruff: noqa: PTH103, PTH108, PTH116, PTH120

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from kaogan.core.atomic_io import explain


def place(folder: str, key: str, suffix: str) -> str:
    return f"{folder}/{key[:2]}/{key}{suffix}"


def put(folder: str, key: str, suffix: str, data: bytes) -> None:
    """Write a picture unless it is there already. Raises KaoganError, for a full disk too.

    Plainly and not by way of a temporary file: nothing in the store counts until the journal tells of it, which it does
    afterwards, with the size. A kill, or a power failure before the disk has it, leaves what the next run writes again.
    """
    path = place(folder, key, suffix)
    if size_of(path) == len(data):
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


def size_of(path: str) -> int:
    """Bytes, or -1 where there is nothing."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
