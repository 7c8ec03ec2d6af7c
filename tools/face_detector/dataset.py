"""The face detector's training set: labelled faces and where they are.

A set's labels.csv may tell the boxes itself (columns file, x, y, w, h in pixels). For the four sets that the shipped
weights were trained on, ``known.safetensors`` holds boxes and eyes by content: for those who have these sets, training
is one command. See docs/results/face-detector.md for how the table was made.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from kaogan.core.errors import KaoganError
from kaogan.core.progress import Progress
from kaogan.data import avatars
from kaogan.data.decoding import BrokenPicture, read_picture
from kaogan.data.sources import Source, open_source
from tools.face_detector.synthesize import Portrait

KNOWN = "known.safetensors"
# Of an avatar's side: centre and side of its face.
AVATAR_BOX = (0.5, 0.555, 0.85)
_STEPS, _OFFSET = 200, 20  # a byte of the table is a share of the picture's side, in steps of half a percent
_HELD_OUT = 51  # of 256: a fifth
_LARGEST = 320  # pixels; a larger picture is shrunk when it is read


def load_portraits(
    paths: Sequence[Path], held_out: bool = False, limit: int = 4000, progress: Progress | None = None
) -> list[Portrait]:
    """Pictures with known faces from folders or zips, at most ``limit`` of each: to train on, or the held-out fifth.

    Which pictures are held out depends on their bytes alone. Raises UsageError for what is no set, KaoganError for sets
    in which no face is known.
    """
    known = _known()
    portraits: list[Portrait] = []
    for path in paths:
        with open_source(path) as source:
            portraits += _read(source, known, held_out, limit, progress)
    if not portraits:
        names = ", ".join(map(str, paths))
        raise KaoganError(f"no face is known in {names}; labels.csv must have the columns file, x, y, w, h")
    return portraits


def lessons_of(paths: Sequence[Path], progress: Progress | None = None) -> list[Portrait]:
    """What the shipped weights learn from: the sets, those with scenes round their faces twice, and 480 avatars."""
    portraits = load_portraits(paths, progress=progress)
    return portraits + [portrait for portrait in portraits if portrait.scene] + drawn_portraits(480)


def drawn_portraits(count: int, size: int = 112, first: int = 0) -> list[Portrait]:
    """Avatars ``first`` to ``first + count``."""
    x, y, side = (share * size for share in AVATAR_BOX)
    nothing = np.full(4, np.nan)
    return [Portrait(avatars.draw(i, size), (x, y), side, nothing) for i in range(first, first + count)]


def is_held_out(data: bytes) -> bool:
    return hashlib.sha256(data).digest()[0] < _HELD_OUT


def key_of(data: bytes) -> int:
    """What the table knows a picture by."""
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "little", signed=True)


def pack(shares: np.ndarray) -> np.ndarray:
    """Shares of the picture's side (N, 7) -> bytes; NaN is 255."""
    numbers = np.nan_to_num(np.round(shares * _STEPS) + _OFFSET, nan=255)
    return numbers.clip(0, 255).astype(np.uint8)


def unpack(numbers: np.ndarray) -> np.ndarray:
    shares = (numbers.astype(float) - _OFFSET) / _STEPS
    shares[numbers == 255] = np.nan
    return shares


def _known() -> dict[int, np.ndarray]:
    with as_file(files("tools.face_detector") / KNOWN) as path:
        table = load_file(path)
    return dict(zip(table["keys"].tolist(), unpack(table["faces"]), strict=True))


def _read(
    source: Source, known: dict[int, np.ndarray], held_out: bool, limit: int, progress: Progress | None
) -> list[Portrait]:
    boxes = _boxes(source)
    portraits: list[Portrait] = []
    for index, entry in enumerate(source.listing.entries):
        if len(portraits) >= limit:
            break
        if progress:
            progress(index + 1, len(source.listing.entries), f"reading {source.path.name}")
        try:
            data = source.read(index)
            data = data.read_bytes() if isinstance(data, Path) else data
            shares, box = known.get(key_of(data)), boxes.get(Path(entry.name).name)
            if is_held_out(data) != held_out or (shares is None and box is None):
                continue
            picture = read_picture(data)
        except (BrokenPicture, OSError):
            continue
        width, height = picture.size
        if shares is None or np.isnan(shares[:3]).any():
            shares = np.full(7, np.nan)
        if box is not None:
            x, y, w, h = box
            shares = np.concatenate([np.array([x + w / 2, y + h / 2, (w + h) / 2]) / width, shares[3:]])
        if np.isnan(shares[:3]).any():
            continue
        if max(width, height) > _LARGEST:
            picture.thumbnail((_LARGEST, _LARGEST))
        x, y, side, *eyes = (shares * picture.size[0]).tolist()
        # A box well inside of its picture has a scene round it.
        scene = side < 0.88 * min(picture.size)
        portraits.append(Portrait(np.asarray(picture), (x, y), side, np.array(eyes), scene))
    return portraits


def _boxes(source: Source) -> dict[str, tuple[float, float, float, float]]:
    found = {}
    for name in source.listing.side_named("labels.csv"):
        for row in csv.DictReader(io.StringIO(source.read_side(name).decode("utf-8-sig", "replace"))):
            try:
                found[Path(row["file"]).name] = (float(row["x"]), float(row["y"]), float(row["w"]), float(row["h"]))
            except (KeyError, TypeError, ValueError):
                continue
    return found
