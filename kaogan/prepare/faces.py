"""Face crops: faces found in pictures and cut out of them, within a bounded memory whatever the size of the picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from kaogan.prepare.settings import Picture

if TYPE_CHECKING:
    from kaogan.aux_models.face_detector import Detector, Face

# From here on a picture is looked at reduced, and so are its faces where they are far larger than the result.
LARGE = 16_000_000  # px
_WINDOW = 1.5  # sides of the widest crop that are cut out on each side of a face: edges farther away change nothing
_ENOUGH = 4  # sizes of the result that a reduced crop keeps: what is left to resize still decides the look
_LEAST = 8  # px, the smallest face that the face finder takes a word for


@lru_cache(maxsize=1)
def detector() -> Detector:
    """Raises KaoganError when the face finder does not find a face that it must find."""
    from kaogan.aux_models.face_detector import load_detector

    return load_detector()


def find(settings: Picture, picture: Image.Image) -> list[Face]:
    """The sure faces, best first, in pixels of the picture. A large one is reduced by as much as the face finder would
    reduce it anyway, short of the last octave, which it does itself."""
    factor = _reduction(settings, picture)
    seen = np.asarray(picture.reduce(factor) if factor > 1 else picture)
    faces = detector().find(seen, smallest=_smallest(settings, factor), threshold=settings.face_score)
    return [seen_from(face, 0, 0, 1 / factor) for face in faces] if factor > 1 else faces


def find_many(settings: Picture, pictures: Sequence[Image.Image]) -> list[list[Face]]:
    """``find`` for small pictures: those of one size pass the network together, which halves the time."""
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for at, picture in enumerate(pictures):
        groups[picture.size].append(at)
    found: list[list[Face]] = [[] for _ in pictures]
    for group in groups.values():
        seen = [np.asarray(pictures[at]) for at in group]
        faces = detector().find_many(seen, smallest=_smallest(settings), threshold=settings.face_score)
        for at, each in zip(group, faces, strict=True):
            found[at] = each
    return found


def cut(settings: Picture, picture: Image.Image, face: Face) -> tuple[Image.Image, int]:
    """(the face with its margin, px of the picture that went into it)."""
    from kaogan.aux_models.face_detector import crop

    margin = fitting_margin(settings.margin, face, *picture.size) if settings.square else settings.margin
    whole = max(face.width, face.height) * (1 + 2 * margin)
    (left, right), (top, below) = (
        (max(0, int(centre - _WINDOW * whole)) // 2 * 2, min(side, int(centre + _WINDOW * whole) + 1))
        for centre, side in zip(face.centre, picture.size, strict=True)
    )
    factor = 1
    if settings.size and picture.width * picture.height > LARGE:
        factor = max(1, int(whole / (_ENOUGH * settings.size)))
    box = (left, top, right, below)
    window = picture.reduce(factor, box) if factor > 1 else picture.crop(box)
    face = seen_from(face, left, top, factor)
    found = crop(np.asarray(window), face, margin=margin, square=settings.square, upright=settings.upright)
    return Image.fromarray(found), found.shape[0] * found.shape[1] * factor**2


def fitting_margin(margin: float, face: Face, width: int, height: int) -> float:
    """The most of ``margin`` that the picture really has around the face, at least 0.

    ``crop`` moves a window inwards by up to half its margin and repeats the edge where that is not enough; a generator
    would learn the streaks. A tighter frame is the lesser evil.
    """
    side = max(face.width, face.height)
    x, y = face.centre
    room = min(x, y, width - x, height - y)
    return max(0.0, min(margin, 2 * (room / side - 0.5), (min(width, height) / side - 1) / 2))


def seen_from(face: Face, left: float, top: float, factor: float) -> Face:
    """The face in a picture that begins at (left, top) and is ``factor`` times smaller."""
    from kaogan.aux_models.face_detector import Face

    x, y, width, height = (face.x - left, face.y - top, face.width, face.height)
    eyes = face.landmarks and tuple(((u - left) / factor, (v - top) / factor) for u, v in face.landmarks)
    return Face(x / factor, y / factor, width / factor, height / factor, face.score, eyes)  # type: ignore[arg-type]


def _smallest(settings: Picture, factor: int = 1) -> float:
    return max(_LEAST, settings.smallest_side / factor)


def _reduction(settings: Picture, picture: Image.Image) -> int:
    if picture.width * picture.height <= LARGE:
        return 1
    from kaogan.aux_models.face_detector import smallest_side

    finest = smallest_side(picture.height, picture.width, settings.smallest_side) / FINEST
    return max(1, int(finest / 2))


FINEST = 28  # px that the smallest wanted face has where the face finder fingerprints most closely
