"""Hard negatives, which a half-trained detector takes for faces: hair, collars, hands, shuffled faces."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from kaogan.aux_models.face_detector.boxes import Face
from kaogan.aux_models.face_detector.detector import Detector
from kaogan.core.rng import numpy_generator
from tools.face_detector.synthesize import Portrait, faceless

SIDE = 64  # pixels of a trap
_ROUND = 0.35  # of the box's side is kept all round it


def seek(
    detector: Detector, portraits: Sequence[Portrait], scores: tuple[float, float], size: int, count: int, seed: int
) -> np.ndarray:
    """uint8 (N, SIDE, SIDE, 3): finds of those scores beside the faces of ``count`` pictures with a
    scene, and in as many without a face. One blank piece is always among them."""
    found: list[np.ndarray] = [np.full((SIDE, SIDE, 3), 127, np.uint8)]
    scenes = {id(portrait.picture): portrait for portrait in portraits if portrait.scene}
    for portrait in list(scenes.values())[:count]:
        faces = detector.find(portrait.picture, smallest=24, threshold=scores[0])
        found += [
            _piece(portrait.picture, face) for face in faces if face.score < scores[1] and _beside(face, portrait)
        ]
    for number in range(count):
        picture = faceless(numpy_generator(seed, "traps", number), portraits, size)
        faces = detector.find(picture, smallest=24, threshold=scores[0])
        found += [_piece(picture, face) for face in faces]
    return np.stack(found)


def _beside(face: Face, portrait: Portrait) -> bool:
    """Does at most a quarter of the box lie in the known face?"""
    (x, y), half = portrait.centre, portrait.side / 2
    wide = min(face.x + face.width, x + half) - max(face.x, x - half)
    high = min(face.y + face.height, y + half) - max(face.y, y - half)
    return max(0.0, wide) * max(0.0, high) <= 0.25 * face.width * face.height


def _piece(picture: np.ndarray, face: Face) -> np.ndarray:
    x, y, side = *face.centre, face.width * (1 + 2 * _ROUND)
    rows = np.linspace(y - side / 2, y + side / 2, SIDE).round().astype(int).clip(0, picture.shape[0] - 1)
    columns = np.linspace(x - side / 2, x + side / 2, SIDE).round().astype(int).clip(0, picture.shape[1] - 1)
    if side > 2 * SIDE:
        cut = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return cv2.resize(np.ascontiguousarray(cut), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(picture[rows[:, None], columns])
