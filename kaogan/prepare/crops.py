"""The pieces that passed every check of their own, and which of them stay."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kaogan.prepare.duplicates import Found, find_copies
from kaogan.prepare.fingerprints import SIDE
from kaogan.prepare.looks import LOOK
from kaogan.prepare.manifest import Journal
from kaogan.prepare.settings import Twins

Progress = Callable[[int, int, str], None]


@dataclass(slots=True)
class Kept:
    """One piece of one file."""

    row: int  # in the journal
    position: int  # of its file
    digest: str
    number: int  # of the face in its picture
    alone: bool  # the only piece of its picture
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


def read_pieces(journal: Journal, positions: Mapping[int, int]) -> list[Kept]:
    """Every piece, in the order of the files; ``positions`` are those of the journal's rows of files."""
    pieces = []
    query = (
        "SELECT p.id, p.file, f.digest, p.number, p.suffix, p.bytes, p.width, p.height, p.area, p.x, p.y, p.w, p.h, "
        "p.score, p.brightness FROM pieces p JOIN files f ON f.id = p.file WHERE p.step IS NULL"
    )
    for row, file, digest, number, suffix, size, width, height, area, *box, score, brightness in journal.rows(query):
        name, face = sys.intern(suffix), None if box[0] is None else tuple(box)
        about = (name, size, width, height, area, face, score, brightness)
        pieces.append(Kept(row, positions[file], digest, number, True, *about))
    pieces.sort(key=lambda piece: (piece.position, piece.number))
    for one, other in pairwise(pieces):
        if one.position == other.position:
            one.alone = other.alone = False
    return pieces


def copies(
    pieces: list[Kept], labelled: np.ndarray, journal: Journal, settings: Twins, progress: Progress | None
) -> Found:
    """Which pieces are copies. The labelled one is kept, then the largest, then the first."""
    count, size = len(pieces), LOOK.itemsize
    contents = np.unique([piece.key for piece in pieces], return_inverse=True)[1] if count else np.empty(0, np.int64)
    areas = np.array([piece.area for piece in pieces])
    rank = np.empty(count, np.int64)
    rank[np.lexsort((np.arange(count), -areas, ~labelled))] = np.arange(count)
    where = {piece.row: at for at, piece in enumerate(pieces)}
    looks = bytearray(count * size)
    for row, data in journal.rows("SELECT id, look FROM pieces WHERE step IS NULL"):
        at = where[row]
        looks[at * size : (at + 1) * size] = data

    def take(wanted: np.ndarray) -> np.ndarray:
        """Thumbnails stay in the journal: a hundred thousand are 300 MB, of which few are looked at."""
        rows = [pieces[at].row for at in wanted.tolist()]
        marks = ", ".join("?" * len(rows))
        found = dict(journal.rows(f"SELECT id, thumbnail FROM pieces WHERE id IN ({marks})", rows))
        data = bytearray().join(found[row] for row in rows)
        return np.frombuffer(data, np.uint8).reshape(-1, SIDE, SIDE, 3)

    return find_copies(
        take, contents, rank, looks=np.frombuffer(looks, LOOK), limit=settings.difference, mirror=settings.mirrored,
        progress=progress,
    )  # fmt: skip
