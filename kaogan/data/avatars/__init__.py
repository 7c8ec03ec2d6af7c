"""The built-in dataset: drawn faces whose hair and eye colours are known exactly.

Avatar ``index`` of ``seed`` is the same in every set that holds it, at any size: each choice is a hash of
(seed, index, what is chosen). Every 120 avatars hold each of the 12 x 10 pairs of colours once.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import IO

import numpy as np
import resvg_py
from PIL import Image

from kaogan.core.atomic_io import TEMPORARY_SUFFIX, atomic, explain, write_text
from kaogan.core.errors import UsageError
from kaogan.core.progress import Progress
from kaogan.data.avatars import style

HAIR_NAMES = tuple(style.HAIR_COLOURS)
EYE_NAMES = tuple(style.EYE_COLOURS)
# What a drawn picture depends on beside (index, size, seed); the picture cache asks.
VERSION = "/".join(("2", *map(version, ("dicebear-core", "dicebear-styles", "resvg-py"))))
_MARK = ".kaogan-avatars"
_PARALLEL_FROM = 200  # below, starting helpers costs more than it saves


def labels_of(index: int, seed: int = 0) -> tuple[int, int]:
    """(hair, eyes) of an avatar: positions in kaogan.core.schema.HAIR and EYES."""
    pair = _pairs(index // (len(HAIR_NAMES) * len(EYE_NAMES)), seed)[index % (len(HAIR_NAMES) * len(EYE_NAMES))]
    return divmod(pair, len(EYE_NAMES))


def hair_style_of(index: int, seed: int = 0) -> str:
    """One of avatar_style.HAIRS."""
    return style.HAIRS[_hash(seed, index, "hair") % len(style.HAIRS)]


def draw(index: int, size: int, seed: int = 0) -> np.ndarray:
    """Avatar ``index`` as uint8 (size, size, 3)."""
    hair, eyes = labels_of(index, seed)
    return draw_with(index, size, seed, HAIR_NAMES[hair], EYE_NAMES[eyes])


def draw_with(index: int, size: int, seed: int, hair: str, eyes: str) -> np.ndarray:
    """Avatar ``index`` with other colours: everything else stays. uint8 (size, size, 3)."""
    parts = {
        "background": style.BACKGROUNDS,
        "skin": style.SKINS,
        "head": style.HEADS,
        "mouth": style.MOUTHS,
        "nose": style.NOSES,
        "eyebrows": style.EYEBROWS,
        "eyes": style.EYE_SHAPES,
        "earrings": (*style.EARRINGS, "", "", "", ""),
    }
    chosen = {part: choices[_hash(seed, index, part) % len(choices)] for part, choices in parts.items()}
    chosen["hair"] = hair_style_of(index, seed)
    data = resvg_py.svg_to_bytes(
        svg_string=style.svg(chosen, hair, eyes), width=size, height=size, skip_system_fonts=True
    )
    picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return mirror(picture) if is_mirrored(index, seed) else picture


def is_mirrored(index: int, seed: int = 0) -> bool:
    """Whether the avatar looks to the left, as half of them do; the parts are drawn to look to the right."""
    return bool(_hash(seed, index, "flip") % 2)


def mirror(picture: np.ndarray) -> np.ndarray:
    """(H, W, C) -> the same, left and right exchanged."""
    return np.ascontiguousarray(picture[:, ::-1])


def draw_each(count: int, size: int, seed: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """(index, picture) of avatars 0 to ``count`` in order, drawn on all cores.

    The drawing libraries hold Python's lock, so threads gain nothing. The helpers are programs of their own that write
    pixels into a pipe: unlike multiprocessing they never import the caller's script, guarded or not. One that cannot
    start or dies is replaced by drawing here.
    """
    helpers = min(_cores(), 16, count // (_PARALLEL_FROM // 2)) if count >= _PARALLEL_FROM else 0
    with ExitStack() as stack:
        pipes = [stack.enter_context(_Helper(k, helpers, count, size, seed)) for k in range(helpers)]
        for index in range(count):
            picture = pipes[index % helpers].next() if helpers else None
            yield index, draw(index, size, seed) if picture is None else picture


def draw_many(count: int, size: int, seed: int = 0, progress: Progress | None = None) -> np.ndarray:
    """Avatars 0 to ``count`` as uint8 (count, size, size, 3)."""
    pictures = np.empty((count, size, size, 3), np.uint8)
    for index, picture in draw_each(count, size, seed):
        pictures[index] = picture
        if progress:
            progress(index + 1, count, "drawing avatars")
    return pictures


def write_set(folder: Path | str, count: int, size: int, seed: int = 0, progress: Progress | None = None) -> Path:
    """Write ``images/00000.png`` ... and then ``labels.csv`` (file, hair, eyes): a row never lacks its picture.

    A folder written by this function may be written again; any other that is not empty is refused (UsageError).
    """
    folder = Path(folder)
    if count < 1 or size < 1:
        raise UsageError(f"{count} avatars of size {size}: at least 1 of size 1")
    _claim(folder)
    (folder / "labels.csv").unlink(missing_ok=True)  # while pictures change, no rows about them
    for index, picture in draw_each(count, size, seed):
        with atomic(folder / "images" / name_of(index)) as temporary:
            Image.fromarray(picture).save(temporary)
        if progress:
            progress(index + 1, count, "drawing avatars")
    for extra in (folder / "images").glob("[0-9]*.png"):  # of an earlier, larger set
        if extra.stem.isdecimal() and int(extra.stem) >= count:
            extra.unlink(missing_ok=True)
    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(("file", "hair", "eyes"))
    for index in range(count):
        hair, eyes = labels_of(index, seed)
        table.writerow((name_of(index), HAIR_NAMES[hair], EYE_NAMES[eyes]))
    write_text(folder / "labels.csv", rows.getvalue())
    return folder


def name_of(index: int) -> str:
    return f"{index:05d}.png"


def _claim(folder: Path) -> None:
    """Mark a new or empty folder as ours; nobody's own pictures are ever written over."""
    try:
        others = folder.exists() and any(TEMPORARY_SUFFIX not in path.name for path in folder.iterdir())
        if others and not (folder / _MARK).exists():
            raise UsageError(f"{folder} already holds other files; choose a new or an empty folder")
    except OSError as error:
        raise explain(error, folder) from error
    write_text(folder / _MARK, "This folder was written by kaogan and may be written again.\n")


@lru_cache(maxsize=64)
def _pairs(block: int, seed: int) -> Sequence[int]:
    """A permutation of the 120 pairs of colours for avatars 120 x block onwards."""
    return sorted(range(len(HAIR_NAMES) * len(EYE_NAMES)), key=lambda pair: _hash(seed, block, f"pair {pair}"))


def _hash(seed: int, index: int, what: str) -> int:
    return int.from_bytes(hashlib.sha256(f"avatar/{seed}/{index}/{what}".encode()).digest()[:8], "little")


class _Helper:
    """A program that draws avatars ``first``, ``first + step`` ... and writes their pixels to its standard output."""

    def __init__(self, first: int, step: int, count: int, size: int, seed: int) -> None:
        self._size = size
        self._process: subprocess.Popen[bytes] | None = None
        numbers = [str(n) for n in (first, step, count, size, seed)]
        path = os.pathsep.join(os.fspath(folder) or str(Path.cwd()) for folder in sys.path)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __spec__.name if __spec__ else __name__, *numbers],
                stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path},
            )
        except (OSError, ValueError, TypeError):
            self._process = None

    def __enter__(self) -> _Helper:
        return self

    def next(self) -> np.ndarray | None:
        """The next picture, or None when the helper is gone."""
        if self._process is None or self._process.stdout is None:
            return None
        wanted = self._size * self._size * 3
        data = self._process.stdout.read(wanted)
        if len(data) < wanted:
            self.__exit__()
            return None
        return np.frombuffer(data, np.uint8).reshape(self._size, self._size, 3)

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            if self._process.stdout:
                self._process.stdout.close()
            self._process.wait()
            self._process = None


def _help(numbers: Sequence[str], out: IO[bytes]) -> None:
    first, step, count, size, seed = map(int, numbers)
    for index in range(first, count, step):
        out.write(draw(index, size, seed).tobytes())
    out.flush()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    _help(sys.argv[1:], sys.stdout.buffer)
