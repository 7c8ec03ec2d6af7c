"""Evaluation of the face detector: recall and precision over pictures whose faces are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from kaogan.aux_models.face_detector.boxes import Face, overlaps
from tools.face_detector import backgrounds
from tools.face_detector.synthesize import Portrait, place

OVERLAP = 0.4  # intersection over union from which a face counts as found


@dataclass(frozen=True)
class Outcome:
    """Scores of the faces found, whether each was right, and how many there were to find."""

    scores: np.ndarray
    right: np.ndarray
    known: int

    def at(self, threshold: float) -> tuple[float, float]:
        """(recall, precision) when only faces of that score or more count."""
        kept = self.right[self.scores >= threshold]
        return float(kept.sum() / max(self.known, 1)), float(kept.mean()) if len(kept) else 1.0

    def __add__(self, other: Outcome) -> Outcome:
        scores = np.concatenate([self.scores, other.scores])
        return Outcome(scores, np.concatenate([self.right, other.right]), self.known + other.known)


NOTHING = Outcome(np.zeros(0), np.zeros(0, bool), 0)


def match_faces(found: Sequence[Face], known: np.ndarray, overlap: float = OVERLAP) -> Outcome:
    """Match faces with known boxes (K, 4) x, y, width, height: best score first, each box once."""
    left = np.asarray(known, float).reshape(-1, 4)
    total, scores, right = len(left), [], []
    for face in sorted(found, key=lambda one: -one.score):
        shared = overlaps(np.array((face.x, face.y, face.width, face.height)), left) if len(left) else np.zeros(0)
        hit = bool(len(shared)) and float(shared.max()) >= overlap
        if hit:
            left = np.delete(left, int(shared.argmax()), 0)
        scores.append(face.score)
        right.append(hit)
    return Outcome(np.array(scores, float), np.array(right, bool), total)


def canvases(
    gen: np.random.Generator, portraits: Sequence[Portrait], count: int, smallest: float = 48, largest: float = 800
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """``count`` large pictures uint8 (H, W, 3) with none to six pasted faces, and their boxes (K, 4).

    Faces are ``smallest`` to ``largest`` pixels, as pasted rectangles, faded or cut out, up to 20 degrees tilted, one
    in eight grey; one canvas in six holds none. Among them lie pieces of pictures, shuffled faces and scribbles.
    """
    for _ in range(count):
        side = float(np.exp(gen.uniform(np.log(256), np.log(largest * 1.6))))
        height, width = (int(side * gen.uniform(0.7, 1.2)) for _ in range(2))
        page = _ground(gen, portraits, height, width)
        boxes: list[tuple[float, float, float, float]] = []
        for _ in range(int(gen.integers(0, 5))):
            _clutter(gen, page, portraits)
        taken: list[tuple[float, float, float]] = []
        for _ in range(int(gen.choice(7, p=[1 / 6, 0.3, 0.2, 0.15, 0.1, 0.05, 1 / 30]))):
            most = min(largest, 0.85 * min(height, width))
            face = float(np.exp(gen.uniform(np.log(smallest), np.log(most))))
            portrait = portraits[int(gen.integers(len(portraits)))]
            x, y = gen.uniform(0.55 * face, width - 0.55 * face), gen.uniform(0.55 * face, height - 0.55 * face)
            if any(max(abs(x - u), abs(y - v)) < 0.6 * (face + other) for u, v, other in taken):
                continue
            angle = float(gen.uniform(-20, 20)) if gen.random() < 0.4 else 0.0
            if gen.random() < 0.125:
                grey = cv2.cvtColor(np.ascontiguousarray(portrait.picture), cv2.COLOR_RGB2GRAY)
                grey = np.repeat(grey[..., None], 3, 2)
                portrait = Portrait(grey, portrait.centre, portrait.side, portrait.eyes)
            mask = str(gen.choice(["hard", "soft", "oval"], p=[0.5, 0.3, 0.2]))
            place(page, portrait, (x, y), face, angle, bool(gen.integers(2)), mask)
            taken.append((x, y, face))
            boxes.append((x - face / 2, y - face / 2, face, face))
        yield page, np.array(boxes, float).reshape(-1, 4)


def _ground(gen: np.random.Generator, portraits: Sequence[Portrait], height: int, width: int) -> np.ndarray:
    if gen.random() < 0.65:
        page = backgrounds.drawn(gen, height, width)
        if gen.random() < 0.2:  # printed: dots of the light
            tone = backgrounds.stripes(gen, height, width)
            page = np.where(tone.mean(-1, keepdims=True) > page.mean(-1, keepdims=True), page, 0).astype(np.uint8)
        return page
    return cv2.resize(_piece(gen, portraits), (width, height), interpolation=cv2.INTER_CUBIC)


def _piece(gen: np.random.Generator, portraits: Sequence[Portrait]) -> np.ndarray:
    """A third of a face at most, or a corner of its picture: hair, an eye, clothes, scenery."""
    portrait = portraits[int(gen.integers(len(portraits)))]
    rows, columns = portrait.picture.shape[:2]
    side = max(8, int(portrait.side * gen.uniform(0.15, 0.33)))
    top, left = int(gen.integers(rows - side + 1)), int(gen.integers(columns - side + 1))
    return np.ascontiguousarray(portrait.picture[top : top + side, left : left + side])


def _clutter(gen: np.random.Generator, page: np.ndarray, portraits: Sequence[Portrait]) -> None:
    kind = gen.random()
    if kind < 0.3:
        backgrounds.scribble(gen, page, int(gen.integers(1, 6)))
        return
    piece = _piece(gen, portraits)
    if kind > 0.7:
        piece = backgrounds.shuffled(gen, portraits[int(gen.integers(len(portraits)))].picture)
    most = max(49, int(0.5 * min(page.shape[:2])))
    side = int(gen.integers(48, most))
    piece = cv2.resize(np.ascontiguousarray(piece), (side, side), interpolation=cv2.INTER_CUBIC)
    top, left = int(gen.integers(page.shape[0] - side + 1)), int(gen.integers(page.shape[1] - side + 1))
    page[top : top + side, left : left + side] = piece
