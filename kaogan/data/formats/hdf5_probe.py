"""A trial read of an HDF5 file in a process that can be killed: damaged files make the library loop or claim anything.

``python -m kaogan.data.formats.hdf5_probe FILE`` reads every number and attribute once. Exit code 0: whole;
3: the reason is printed.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from kaogan.core.errors import KaoganError
from kaogan.data.sources.base import MAX_RATIO, RATIO_FROM

SECONDS, BYTES_A_SECOND = 8, 20 * 2**20
MEMORY = 4 * 2**30
MAX_OBJECTS = 100_000
_REFUSED = 3
_ROWS = 2**22  # bytes that are read at once


def probe(path: Path) -> None:
    """Raise KaoganError when the file cannot be read as a whole in bounded time and memory."""
    limit = SECONDS + path.stat().st_size / BYTES_A_SECOND
    command = [sys.executable, "-m", "kaogan.data.formats.hdf5_probe", str(path.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=limit)
    except subprocess.TimeoutExpired:
        raise KaoganError(
            f"{path} is not a whole HDF5 file (reading it did not end within {limit:.0f} s); copy it again"
        ) from None
    if done.returncode == 0:
        return
    reason = " ".join(done.stdout.split())[:200] if done.returncode == _REFUSED else "reading it ended the program"
    raise KaoganError(f"{path} is not a whole HDF5 file ({reason}); copy it again")


def main(path: str) -> int:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        reason = _reason_against(path)
    except Exception as error:  # whatever a damaged file makes of h5py
        reason = str(error) or type(error).__name__
    if reason:
        print(reason)
    return _REFUSED if reason else 0


def _reason_against(path: str) -> str:
    import h5py

    most = max(RATIO_FROM, MAX_RATIO * Path(path).stat().st_size)
    with h5py.File(path, "r") as file:
        dict(file.attrs)
        waiting: list[Any] = [file]
        seen: set[Any] = set()
        count = 0
        while waiting:
            group = waiting.pop()
            for name in group:
                count += 1
                if count > MAX_OBJECTS:
                    return f"more than {MAX_OBJECTS:,} objects"
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    continue
                found = group[name]
                key = h5py.h5o.get_info(found.id).addr
                if key in seen:
                    continue
                seen.add(key)
                dict(found.attrs)
                if isinstance(found, h5py.Group):
                    waiting.append(found)
                elif isinstance(found, h5py.Dataset) and not (found.external or found.is_virtual):
                    most -= found.size * found.dtype.itemsize
                    if most < 0:
                        return f"{found.name} claims {found.shape} numbers, far more than the file holds"
                    _read(found)
    return ""


def _read(found: Any) -> None:
    if not found.shape:
        found[()]
        return
    step = max(1, _ROWS // max(1, found.size // max(1, found.shape[0]) * found.dtype.itemsize))
    for start in range(0, found.shape[0], step):
        found[start : start + step]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
