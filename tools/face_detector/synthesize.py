"""Synthesis of training pictures: faces pasted into backgrounds at known places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from tools.face_detector import backgrounds
from tools.face_detector.targets import LARGEST, SMALLEST, Marks

Generator = np.random.Generator


@dataclass(frozen=True)
class Portrait:
    """A picture uint8 (H, W, 3) of one face: its centre, side and the eyes (4,) or NaN, in pixels.

    ``scene`` tells that what is round the face is its own scene and not a margin.
    """

    picture: np.ndarray
    centre: tuple[float, float]
    side: float
    eyes: np.ndarray
    scene: bool = False


class _Page:
    """A canvas under construction and the faces on it."""

    def __init__(self, picture: np.ndarray) -> None:
        self.picture = picture
        self.centres: list[tuple[float, float]] = []
        self.sides: list[float] = []
        self.eyes: list[np.ndarray] = []
        self.doubtful: list[bool] = []

    def add(self, centre: tuple[float, float], side: float, eyes: np.ndarray, doubtful: bool = False) -> None:
        self.centres.append(centre)
        self.sides.append(side)
        self.eyes.append(eyes)
        self.doubtful.append(doubtful)

    def free(self, centre: tuple[float, float], side: float) -> bool:
        """Is there room for a face that hides no other one?"""
        return all(
            max(abs(centre[0] - x), abs(centre[1] - y)) > 0.42 * (side + other)
            for (x, y), other in zip(self.centres, self.sides, strict=True)
        )

    def mirrored(self) -> _Page:
        page = _Page(np.ascontiguousarray(self.picture[:, ::-1]))
        width = self.picture.shape[1]
        for (x, y), side, eyes, doubtful in zip(self.centres, self.sides, self.eyes, self.doubtful, strict=True):
            page.add((width - x, y), side, np.array([width - eyes[2], eyes[3], width - eyes[0], eyes[1]]), doubtful)
        return page

    def marks(self) -> Marks:
        count = len(self.sides)
        return Marks(
            np.array(self.centres, float).reshape(count, 2),
            np.array(self.sides, float),
            np.array(self.eyes, float).reshape(count, 4),
            np.array(self.doubtful, bool),
        )


def lesson(
    gen: Generator, portraits: Sequence[Portrait], size: int, traps: Sequence[np.ndarray] = ()
) -> list[tuple[np.ndarray, Marks]]:
    """Two training pictures uint8 (size, size, 3) and the faces in them: a composition, and its mirror image spoilt
    otherwise. Composing costs as much as learning, so each is used twice.

    ``traps`` are pieces uint8 (H, W, 3) that were taken for faces and are none; they lie about like other patches.
    """
    page = _Page(_ground(gen, portraits, size))
    if gen.random() < 0.2:
        _scene(gen, page, portraits)
    for _ in range(int(gen.integers(0, 4))):
        _distract(gen, page, portraits, traps)
    for _ in range(int(gen.choice([0, 1, 2, 3, 4], p=[0.12, 0.28, 0.3, 0.2, 0.1]))):
        _face(gen, page, _any(gen, portraits))
    pages = [page, page.mirrored()]
    for each in pages:
        each.picture = spoilt(gen, each.picture)
        if gen.random() < 0.2:
            _frame(gen, each)
    return [(each.picture, each.marks()) for each in pages]


def faceless(gen: Generator, portraits: Sequence[Portrait], size: int) -> np.ndarray:
    """A training picture uint8 (size, size, 3) without a face: where a detector that finds one can be caught."""
    page = _Page(_ground(gen, portraits, size))
    for _ in range(5):
        _distract(gen, page, portraits, ())
    return spoilt(gen, page.picture)


def place(
    page: np.ndarray,
    portrait: Portrait,
    centre: tuple[float, float],
    side: float,
    angle: float,
    flip: bool,
    mask: str,
    extend: float = 0.0,
) -> np.ndarray:
    """Paste ``portrait`` into ``page`` so that its face has that centre and side; returns its eyes (4,) there.

    ``mask``: ``hard`` keeps the picture's rectangle, ``soft`` fades its edges, ``oval`` keeps head and hair only.
    ``extend`` repeats the picture's edges outwards by that share: bodies and hair rarely end in a straight line.
    """
    picture, scale = portrait.picture, side / portrait.side
    height, width = picture.shape[:2]
    x, y = portrait.centre
    eyes = portrait.eyes.reshape(2, 2)
    if flip:
        picture, x = picture[:, ::-1], width - x
        eyes = np.stack([width - eyes[::-1, 0], eyes[::-1, 1]], 1)
    shrunk = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(np.ascontiguousarray(picture), shrunk, interpolation=how)
    zoom = np.array([shrunk[0] / width, shrunk[1] / height])
    middle = np.array([x, y]) * zoom
    if angle == 0:  # whole pixels: nothing is blurred a second time
        centre = tuple(np.round(np.array(centre) - middle) + middle)
    turn = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), angle, 1.0)
    turn[:, 2] += np.array(centre) - middle
    grown = int(extend * max(shrunk))
    stamp = _mask(mask, shrunk, middle, side, grown)
    corners = np.array(
        [(-grown, -grown), (shrunk[0] + grown, -grown), (-grown, shrunk[1] + grown), np.add(shrunk, grown)]
    )
    there = corners @ turn[:, :2].T + turn[:, 2]
    low = np.floor(there.min(0)).astype(int).clip(0, (page.shape[1], page.shape[0]))
    high = np.ceil(there.max(0)).astype(int).clip(0, (page.shape[1], page.shape[0]))
    wide, tall = (high - low).tolist()
    if wide > 0 and tall > 0:
        local = turn.copy()
        local[:, 2] -= low
        patch = cv2.warpAffine(picture, local, (wide, tall), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        local[:, 2] -= local[:, :2] @ np.array([grown, grown])
        share = cv2.warpAffine(stamp, local, (wide, tall), flags=cv2.INTER_LINEAR)[..., None]
        spot = page[low[1] : high[1], low[0] : high[0]]
        spot[:] = (share * patch + (1 - share) * spot + 0.5).astype(np.uint8)
    return ((eyes * zoom) @ turn[:, :2].T + turn[:, 2]).reshape(4)


def _mask(kind: str, size: tuple[int, int], middle: np.ndarray, side: float, grown: int) -> np.ndarray:
    wide, tall = size[0] + 2 * grown, size[1] + 2 * grown
    if kind == "hard":
        return np.ones((tall, wide), np.float32)
    if kind == "oval":
        stamp = np.zeros((tall, wide), np.float32)
        axes = (max(1, int(0.5 * side)), max(1, int(0.53 * side)))
        cv2.ellipse(stamp, (int(middle[0]) + grown, int(middle[1]) + grown), axes, 0, 0, 360, 1.0, -1, cv2.LINE_AA)
        return cv2.blur(stamp, (3, 3))
    fade = max(1, int(0.08 * min(wide, tall)) + grown // 2)
    away_x = np.minimum(np.arange(wide) + 1, wide - np.arange(wide)) / fade
    away_y = np.minimum(np.arange(tall) + 1, tall - np.arange(tall)) / fade
    return (away_x.clip(0, 1)[None] * away_y.clip(0, 1)[:, None]).astype(np.float32)


def _any(gen: Generator, portraits: Sequence[Portrait]) -> Portrait:
    return portraits[int(gen.integers(len(portraits)))]


def _ground(gen: Generator, portraits: Sequence[Portrait], size: int) -> np.ndarray:
    """A background: drawn, or a small piece of a picture far too large for the face in it to be seen as one."""
    if gen.random() < 0.6:
        return backgrounds.drawn(gen, size, size)
    picture = _any(gen, portraits)
    return _closeup(gen, picture, size, size)


def _closeup(gen: Generator, portrait: Portrait, height: int, width: int) -> np.ndarray:
    """An eye, hair, a mouth, a collar: at most two thirds of a face, which would be 1.5 x LARGEST or more if whole."""
    rows, columns = portrait.picture.shape[:2]
    reach = min(portrait.side / (LARGEST * 1.5), portrait.side / max(height, width) / 1.5) / gen.uniform(1, 3)
    high, wide = min(rows, max(4, int(height * reach))), min(columns, max(4, int(width * reach)))
    top, left = int(gen.integers(rows - high + 1)), int(gen.integers(columns - wide + 1))
    piece = portrait.picture[top : top + high, left : left + wide]
    if gen.random() < 0.3:
        piece = np.rot90(piece, int(gen.integers(1, 4)))
    return cv2.resize(np.ascontiguousarray(piece), (width, height), interpolation=cv2.INTER_CUBIC)


def _scene(gen: Generator, page: _Page, portraits: Sequence[Portrait]) -> None:
    """Fill the page with one picture as it is: a face in its own surroundings."""
    drawn = [_any(gen, portraits) for _ in range(12)]
    portrait = next((each for each in drawn if each.scene), drawn[0])
    size = page.picture.shape[0]
    side = float(np.exp(gen.uniform(np.log(SMALLEST), np.log(LARGEST * 1.3))))
    half = size / 2
    wander = max(0.0, half - side * 0.5)
    centre = (half + gen.uniform(-1, 1) * wander, half + gen.uniform(-1, 1) * wander)
    angle = float(gen.normal(0, 8)) if gen.random() < 0.5 else 0.0
    eyes = place(page.picture, portrait, centre, side, angle, bool(gen.integers(2)), "hard", 0.0)
    page.add(centre, side, eyes)


def _distract(gen: Generator, page: _Page, portraits: Sequence[Portrait], traps: Sequence[np.ndarray]) -> None:
    """Paste something that has the edges and colours of a pasted face and is none."""
    size = page.picture.shape[0]
    side = int(np.exp(gen.uniform(np.log(14), np.log(100))))
    portrait = _any(gen, portraits)
    kind = gen.random()
    if len(traps) and gen.random() < 0.5:
        patch = traps[int(gen.integers(len(traps)))]
        side = int(np.exp(gen.uniform(np.log(1.5 * SMALLEST), np.log(1.3 * LARGEST))))
    elif kind < 0.35:
        patch = backgrounds.shuffled(gen, portrait.picture)
    elif kind < 0.7:
        patch = _closeup(gen, portrait, side, int(side * gen.uniform(0.5, 2)) + 1)
    elif kind < 0.85 and portrait.scene:
        patch = _beside(gen, portrait)
    else:
        patch = backgrounds.drawn(gen, side, side)
    scale = side / max(patch.shape[:2])
    wide, high = max(4, int(patch.shape[1] * scale)), max(4, int(patch.shape[0] * scale))
    patch = cv2.resize(np.ascontiguousarray(patch), (wide, high), interpolation=cv2.INTER_AREA)
    centre = (float(gen.uniform(0, size)), float(gen.uniform(0, size)))
    if not page.free(centre, float(max(wide, high))):
        return
    stamp = Portrait(patch, (wide / 2, high / 2), float(max(wide, high)), np.full(4, np.nan))
    mask = ("hard", "soft", "oval")[gen.integers(3)]
    angle = float(gen.normal(0, 12)) if gen.random() < 0.5 else 0.0
    place(page.picture, stamp, centre, stamp.side, angle, False, mask)


def _beside(gen: Generator, portrait: Portrait) -> np.ndarray:
    """A strip of the picture from outside of the face's square."""
    rows, columns = portrait.picture.shape[:2]
    x, y, half = *portrait.centre, portrait.side / 2
    strips = [
        portrait.picture[: max(8, int(y - half))],
        portrait.picture[min(rows - 8, int(y + half)) :],
        portrait.picture[:, : max(8, int(x - half))],
        portrait.picture[:, min(columns - 8, int(x + half)) :],
    ]
    strip = strips[gen.integers(4)]
    side = min(strip.shape[:2])
    top, left = int(gen.integers(strip.shape[0] - side + 1)), int(gen.integers(strip.shape[1] - side + 1))
    return strip[top : top + side * 2, left : left + side * 2]


def _face(gen: Generator, page: _Page, portrait: Portrait) -> None:
    size = page.picture.shape[0]
    side = float(np.exp(gen.uniform(np.log(SMALLEST / 1.5), np.log(LARGEST * 1.4))))
    for _ in range(6):
        centre = (float(gen.uniform(0.3 * side, size - 0.3 * side)), float(gen.uniform(0.3 * side, size - 0.3 * side)))
        if page.free(centre, side):
            break
    else:
        return
    angle = float(np.clip(gen.normal(0, 11), -30, 30)) if gen.random() < 0.6 else 0.0
    mask = str(gen.choice(["hard", "soft", "oval"], p=[0.45, 0.3, 0.25]))
    extend = float(gen.uniform(0.1, 0.8)) if mask == "soft" and gen.random() < 0.6 else 0.0
    if gen.random() < 0.25:
        portrait = _recoloured(gen, portrait)
    eyes = place(page.picture, portrait, centre, side, angle, bool(gen.integers(2)), mask, extend)
    seen = [max(0.0, min(size, c + side / 2) - max(0.0, c - side / 2)) / side for c in centre]
    page.add(centre, side, eyes, doubtful=seen[0] * seen[1] < 0.7)
    if gen.random() < 0.25:
        _cover(gen, page.picture, centre, side)


def _recoloured(gen: Generator, portrait: Portrait) -> Portrait:
    hsv = cv2.cvtColor(np.ascontiguousarray(portrait.picture), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + int(gen.integers(180))) % 180
    hsv[..., 1] = (hsv[..., 1] * gen.uniform(0.2, 1.2)).clip(0, 255).astype(np.uint8)
    picture = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return Portrait(picture, portrait.centre, portrait.side, portrait.eyes, portrait.scene)


def _cover(gen: Generator, page: np.ndarray, centre: tuple[float, float], side: float) -> None:
    """Hide at most about a fifth of a face from one side: hands, hair, other heads, speech bubbles."""
    turn = gen.uniform(0, 2 * np.pi)
    away = side * gen.uniform(0.42, 0.6)
    spot = (int(centre[0] + away * np.cos(turn)), int(centre[1] + away * np.sin(turn)))
    axes = (max(1, int(side * gen.uniform(0.08, 0.3))), max(1, int(side * gen.uniform(0.08, 0.3))))
    cv2.ellipse(page, spot, axes, float(gen.uniform(0, 180)), 0, 360, backgrounds.colour(gen), -1, cv2.LINE_AA)


def spoilt(gen: Generator, picture: np.ndarray) -> np.ndarray:
    """Light, colour, sharpness, grain and compression as they differ from source to source."""
    picture = picture.copy()
    if gen.random() < 0.5:
        gain, shift = gen.uniform(0.6, 1.35), gen.uniform(-40, 40)
        tint = gen.uniform(0.85, 1.15, 3) if gen.random() < 0.5 else np.ones(3)
        table = (((np.arange(256)[:, None] - 128) * gain * tint + 128 + shift).clip(0, 255)).astype(np.uint8)
        picture = np.stack([table[:, c][picture[..., c]] for c in range(3)], -1)
    if gen.random() < 0.15:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        picture = np.repeat(grey[..., None], 3, 2)
        if gen.random() < 0.4:
            picture = _screentone(gen, picture)
    if gen.random() < 0.2:
        sigma = float(gen.uniform(0.3, 1.3))
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    elif gen.random() < 0.1:
        picture = cv2.addWeighted(picture, 1.8, cv2.GaussianBlur(picture, (0, 0), 1.0), -0.8, 0)
    if gen.random() < 0.15:
        grain = gen.standard_normal(picture.shape, dtype=np.float32) * np.float32(gen.uniform(2, 14))
        picture = (picture + grain).clip(0, 255).astype(np.uint8)
    if gen.random() < 0.3:
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(gen.integers(25, 95))])
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        assert decoded is not None
        picture = decoded
    return picture


def _screentone(gen: Generator, picture: np.ndarray) -> np.ndarray:
    """Grey as dots, like printed comics, then seen from a little further away."""
    rows, columns = picture.shape[:2]
    y, x = np.mgrid[: 2 * rows, : 2 * columns]
    period = gen.uniform(3, 6)
    wave = (np.sin((x + y) * np.pi * 2 / period) + np.sin((x - y) * np.pi * 2 / period)) * 64 + 128
    large = cv2.resize(picture[..., 0], (2 * columns, 2 * rows), interpolation=cv2.INTER_LINEAR)
    grey = large.astype(float)
    dots = np.where(grey > 200, 255, np.where(grey < 60, 0, np.where(grey > wave, 255, 40))).astype(np.uint8)
    return np.repeat(cv2.resize(dots, (columns, rows), interpolation=cv2.INTER_AREA)[..., None], 3, 2)


def _frame(gen: Generator, page: _Page) -> None:
    """Grey outside of a smaller picture, as round each level of the pyramid. Faces that it cuts are not judged."""
    size = page.picture.shape[0]
    for axis in (0, 1):
        low, high = 0, size
        if gen.random() < 0.7:
            low = int(gen.integers(0, size // 4))
        if gen.random() < 0.7:
            high = size - int(gen.integers(0, size // 4))
        # Grey 127.5 is the zero of the network's input; 128 is as near as bytes come.
        outside = [slice(None), slice(None)]
        for part in (slice(0, low), slice(high, size)):
            outside[1 - axis] = part
            page.picture[tuple(outside)] = 128
        for index, (centre, side) in enumerate(zip(page.centres, page.sides, strict=True)):
            seen = min(high, centre[axis] + side / 2) - max(low, centre[axis] - side / 2)
            if seen < 0.8 * side:
                page.doubtful[index] = True
