"""Face boxes: the type, overlap, suppression of doubles, and cutting a face out of its picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from kaogan.core.errors import UsageError

# How much of a crop may be invented by repeating the picture's edge, as a share of its side.
MAX_INVENTED = 0.1


@dataclass(frozen=True)
class Face:
    """A square from the forehead to just below the chin, in pixels of the picture; it may reach over the edge.

    ``score`` is in (0, 1). ``landmarks`` are the centres of the two eyes, left then right as seen, or None.
    """

    x: float
    y: float
    width: float
    height: float
    score: float
    landmarks: tuple[tuple[float, float], tuple[float, float]] | None = None

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def tilt(self) -> float:
        """Degrees by which the line through the eyes falls to the right; 0 when the eyes are not known."""
        if self.landmarks is None:
            return 0.0
        (left_x, left_y), (right_x, right_y) = self.landmarks
        return math.degrees(math.atan2(right_y - left_y, right_x - left_x))


def overlaps(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with boxes (N, 4), all as x, y, width, height -> (N,)."""
    wide = np.minimum(one[0] + one[2], many[:, 0] + many[:, 2]) - np.maximum(one[0], many[:, 0])
    high = np.minimum(one[1] + one[3], many[:, 1] + many[:, 3]) - np.maximum(one[1], many[:, 1])
    shared = wide.clip(0) * high.clip(0)
    return shared / np.maximum(one[2] * one[3] + many[:, 2] * many[:, 3] - shared, 1e-9)


def non_max_suppression(faces: Sequence[Face], overlap: float = 0.35, nested: float = 0.7) -> list[Face]:
    """The best face of each heap, best first: one goes when it overlaps a better one by more than ``overlap`` (IoU).

    A box that lies inside another by more than ``nested`` of its own area goes too: an eye is no face in a face.
    """
    order = sorted(faces, key=lambda face: -face.score)
    boxes = np.array([(f.x, f.y, f.width, f.height) for f in order], float).reshape(-1, 4)
    alive = np.ones(len(order), bool)
    kept = []
    for index, face in enumerate(order):
        if not alive[index]:
            continue
        kept.append(face)
        rest = boxes[index + 1 :]
        shared = overlaps(boxes[index], rest)
        area, areas = face.width * face.height, rest[:, 2] * rest[:, 3]
        inside = shared * (area + areas) / (1 + shared) / np.maximum(np.minimum(area, areas), 1e-9)
        alive[index + 1 :] &= (shared <= overlap) & (inside <= nested)
    return kept


def crop(
    picture: np.ndarray, face: Face, margin: float = 0.25, square: bool = True, upright: bool = False
) -> np.ndarray:
    """The face with ``margin`` of its side added all round, as uint8 (S, S, C) at the picture's own resolution.

    A window that reaches over the edge is first moved inwards by at most half the margin, then, if more than a tenth of
    its side would still lie outside, shrunk about its centre until a tenth does (never below the face itself); what is
    then outside repeats the nearest pixel. With ``square=False`` nothing is moved or invented: the window is cut off at
    the edge. ``upright`` turns the picture of a square crop so that the eyes are level, when they are known. Raises
    UsageError for a margin below 0 or above 4 and for a face that lies outside the picture.
    """
    if not 0 <= margin <= 4:
        raise UsageError(f"margin {margin:g}: a share of the face's side, from 0 to 4")
    height, width = picture.shape[:2]
    centre_x, centre_y = face.centre
    if not (0 <= centre_x <= width and 0 <= centre_y <= height) or face.width <= 0 or face.height <= 0:
        raise UsageError(f"the face at {face.x:.0f}, {face.y:.0f} is not inside the picture of {width} x {height}")
    side = max(face.width, face.height)
    whole = side * (1 + 2 * margin)
    if upright and square and abs(face.tilt) > 1:
        return _turned(picture, face, whole)
    if not square:
        half_x, half_y = face.width * (0.5 + margin), face.height * (0.5 + margin)
        return _cut(picture, centre_x - half_x, centre_y - half_y, 2 * half_x, 2 * half_y, inside=True)
    give = side * margin / 2
    centre_x = _moved(centre_x, whole, width, give)
    centre_y = _moved(centre_y, whole, height, give)
    room = 2 * min(centre_x, centre_y, width - centre_x, height - centre_y)
    whole = min(whole, max(side, room / (1 - 2 * MAX_INVENTED)))
    return _cut(picture, centre_x - whole / 2, centre_y - whole / 2, whole, whole, inside=False)


def _moved(centre: float, side: float, length: int, give: float) -> float:
    """``centre`` shifted by at most ``give`` so that the window lies inside 0 .. ``length`` as far as it can."""
    low, high = side / 2, length - side / 2
    wanted = (low + high) / 2 if low > high else min(max(centre, low), high)
    return min(max(wanted, centre - give), centre + give)


def _cut(picture: np.ndarray, x: float, y: float, wide: float, high: float, inside: bool) -> np.ndarray:
    left, top, right, bottom = round(x), round(y), round(x + wide), round(y + high)
    if not inside:  # rounding must not make a square oblong
        right, bottom = left + max(1, round(wide)), top + max(1, round(wide))
        rows = np.arange(top, bottom).clip(0, picture.shape[0] - 1)
        columns = np.arange(left, right).clip(0, picture.shape[1] - 1)
        return picture[rows[:, None], columns[None, :]]
    left, top = max(0, min(left, picture.shape[1] - 1)), max(0, min(top, picture.shape[0] - 1))
    return picture[top : max(bottom, top + 1), left : max(right, left + 1)].copy()


def _turned(picture: np.ndarray, face: Face, side: float) -> np.ndarray:
    pixels = max(1, round(side))
    turn = cv2.getRotationMatrix2D(face.centre, face.tilt, pixels / side)
    turn[:, 2] = turn[:, 2] + pixels / 2 - np.array(face.centre)
    turned = cv2.warpAffine(
        np.ascontiguousarray(picture), turn, (pixels, pixels), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return turned.reshape(pixels, pixels, -1) if picture.ndim == 3 else turned
