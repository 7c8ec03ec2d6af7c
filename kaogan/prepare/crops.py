"""Accepted crops, as the manifest holds them, and the search for copies among them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kaogan.core.progress import Progress
from kaogan.prepare.duplicates import Found, find_copies
from kaogan.prepare.fingerprints import FINGERPRINT, SIDE
from kaogan.prepare.manifest import Manifest
from kaogan.prepare.settings import Twins


@dataclass(slots=True)
class Crop:
    """One accepted crop of one file: a face, or the whole picture."""

    row: int  # in the manifest
    position: int  # of its file
    digest: str
    number: int  # of the face in its picture
    alone: bool  # nothing else was found in its picture, not even a face that was left out
    suffix: str
    bytes: int
    width: int
    height: int
    area: int
    box: tuple[float, float, float, float] | None
    score: float
    brightness: float

    @property
    def key(self) -> str:
        return f"{self.digest}-{self.number}"


def read_crops(manifest: Manifest, positions: Mapping[int, int]) -> list[Crop]:
    """Every crop, in the order of the files; ``positions`` are those of the manifest's rows of files."""
    crops = []
    query = (
        "SELECT p.id, p.file, f.digest, p.number, p.suffix, p.bytes, p.width, p.height, p.area, p.x, p.y, p.w, p.h, "
        "p.score, p.brightness, (SELECT COUNT(*) FROM pieces q WHERE q.file = p.file) "
        "FROM pieces p JOIN files f ON f.id = p.file WHERE p.step IS NULL"
    )
    for row, file, digest, number, suffix, *about, found in manifest.rows(query):
        size, width, height, area, *box, score, brightness = about
        name, face = sys.intern(suffix), None if box[0] is None else tuple(box)
        facts = (name, size, width, height, area, face, score, brightness)
        crops.append(Crop(row, positions[file], digest, number, found == 1, *facts))
    crops.sort(key=lambda crop: (crop.position, crop.number))
    return crops


def find_copies_of(
    crops: list[Crop], labelled: np.ndarray, manifest: Manifest, settings: Twins, progress: Progress | None
) -> Found:
    """Which crops are copies. The labelled one is kept, then the largest, then the first."""
    count, size = len(crops), FINGERPRINT.itemsize
    contents = np.unique([crop.key for crop in crops], return_inverse=True)[1] if count else np.empty(0, np.int64)
    areas = np.array([crop.area for crop in crops])
    rank = np.empty(count, np.int64)
    rank[np.lexsort((np.arange(count), -areas, ~labelled))] = np.arange(count)
    where = {crop.row: at for at, crop in enumerate(crops)}
    fingerprints = bytearray(count * size)
    for row, data in manifest.rows("SELECT id, look FROM pieces WHERE step IS NULL"):
        at = where[row]
        fingerprints[at * size : (at + 1) * size] = data

    def take(wanted: np.ndarray) -> np.ndarray:
        """Thumbnails stay in the manifest: a hundred thousand are 300 MB, of which few are looked at."""
        rows = [crops[at].row for at in wanted.tolist()]
        marks = ", ".join("?" * len(rows))
        found = dict(manifest.rows(f"SELECT id, thumbnail FROM pieces WHERE id IN ({marks})", rows))
        data = bytearray().join(found[row] for row in rows)
        return np.frombuffer(data, np.uint8).reshape(-1, SIDE, SIDE, 3)

    return find_copies(
        take,
        contents,
        rank,
        fingerprints=np.frombuffer(fingerprints, FINGERPRINT),
        limit=settings.difference,
        mirror=settings.mirrored,
        progress=progress,
    )
