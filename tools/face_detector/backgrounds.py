"""Backgrounds without a face, drawn or cut from pictures: what the detector must stay silent about."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Generator = np.random.Generator
Draw = Callable[[Generator, int, int], np.ndarray]


def colour(gen: Generator) -> tuple[int, int, int]:
    """Any colour, skin and hair tones more often than by chance: a detector must not live on colour."""
    if gen.random() < 0.25:
        tone = gen.uniform(0.45, 1)
        return tuple(int(c * tone) for c in (255, gen.integers(190, 235), gen.integers(160, 220)))  # type: ignore[return-value]
    return tuple(gen.integers(0, 256, 3).tolist())


def flat(gen: Generator, height: int, width: int) -> np.ndarray:
    shade = (255, 255, 255) if gen.random() < 0.3 else colour(gen)
    return np.full((height, width, 3), shade, np.uint8)


def gradient(gen: Generator, height: int, width: int) -> np.ndarray:
    corners = gen.integers(0, 256, (2, 2, 3)).astype(np.float32)
    return cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def noise(gen: Generator, height: int, width: int) -> np.ndarray:
    """Clouds: noise of several grains, from single pixels to the whole width."""
    out = np.full((height, width, 3), 128, np.float32)
    grain = int(gen.integers(1, 4))
    while grain < 2 * max(height, width):
        shape = (height // grain + 2, width // grain + 2, 3 if gen.random() < 0.6 else 1)
        cells = gen.standard_normal(shape, dtype=np.float32)
        layer = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
        out += layer.reshape(height, width, -1) * np.float32(gen.uniform(5, 60))
        grain *= int(gen.integers(2, 6))
    return out.clip(0, 255).astype(np.uint8)


def shapes(gen: Generator, height: int, width: int) -> np.ndarray:
    """Ellipses, polygons, lines and curves: clothes, furniture, hands and leaves as far as lines go."""
    page = gradient(gen, height, width) if gen.random() < 0.5 else flat(gen, height, width)
    scribble(gen, page, int(gen.integers(4, 30)))
    return page


def scribble(gen: Generator, page: np.ndarray, count: int) -> None:
    """Draw ``count`` shapes into ``page``, outlined like drawings half of the time."""
    height, width = page.shape[:2]
    reach = max(height, width)
    outline = colour(gen) if gen.random() < 0.5 else (30, 20, 20)
    for _ in range(count):
        x, y = int(gen.integers(-10, width + 10)), int(gen.integers(-10, height + 10))
        size = int(reach * gen.uniform(0.02, 0.35)) + 1
        thick = int(gen.integers(1, 4))
        kind = gen.random()
        if kind < 0.35:
            axes = (size, max(1, int(size * gen.uniform(0.2, 1))))
            turn = float(gen.uniform(0, 180))
            cv2.ellipse(page, (x, y), axes, turn, 0, 360, colour(gen), -1, cv2.LINE_AA)
            if gen.random() < 0.6:
                cv2.ellipse(page, (x, y), axes, turn, 0, 360, outline, thick, cv2.LINE_AA)
            if gen.random() < 0.4:  # rings and dots: eyes are such
                small = (max(1, axes[0] // 2), max(1, axes[1] // 2))
                cv2.ellipse(page, (x, y), small, turn, 0, 360, colour(gen), -1, cv2.LINE_AA)
        elif kind < 0.65:
            corners = (gen.normal(0, size, (int(gen.integers(3, 7)), 2)) + np.array((x, y))).astype(np.int32)
            cv2.fillPoly(page, [corners], colour(gen), cv2.LINE_AA)
            if gen.random() < 0.5:
                cv2.polylines(page, [corners], True, outline, thick, cv2.LINE_AA)
        else:  # strands: several near curves
            bend = gen.normal(0, size, (4, 2)).cumsum(0) + np.array((x, y))
            steps = np.linspace(0, 1, 12)[:, None]
            shade = colour(gen)
            for _ in range(int(gen.integers(1, 9))):
                points = bend + gen.normal(0, size / 8, bend.shape)
                curve = (
                    (1 - steps) ** 3 * points[0]
                    + 3 * steps * (1 - steps) ** 2 * points[1]
                    + 3 * steps**2 * (1 - steps) * points[2]
                    + steps**3 * points[3]
                )
                cv2.polylines(page, [curve.astype(np.int32)], False, shade, thick, cv2.LINE_AA)


def stripes(gen: Generator, height: int, width: int) -> np.ndarray:
    """Stripes, checks, screentone dots and grids in two colours, at any angle."""
    y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None]
    turn, period = np.float32(gen.uniform(0, np.pi)), np.float32(gen.uniform(2.5, 40))
    u = (x * np.cos(turn) + y * np.sin(turn)) * (np.float32(2 * np.pi) / period)
    v = (y * np.cos(turn) - x * np.sin(turn)) * (np.float32(2 * np.pi) / period)
    kind = gen.integers(4)
    wave = (np.sin(u), np.sin(u) + np.sin(v), np.sin(u) * np.sin(v), np.maximum(np.sin(u), np.sin(v)))[kind]
    share = ((wave - np.float32(gen.uniform(-0.7, 0.7))) * np.float32(gen.uniform(1, 10)) + 0.5).clip(0, 1)[..., None]
    one, other = np.array([colour(gen), colour(gen)], np.float32)
    return (other + share * (one - other)).astype(np.uint8)


def text(gen: Generator, height: int, width: int) -> np.ndarray:
    page = flat(gen, height, width)
    letters = "".join(map(chr, range(33, 127)))
    size = gen.uniform(0.3, 2)
    for y in np.arange(gen.integers(1, 20), height + 20, 22 * size + gen.integers(2, 20)):
        line = "".join(
            letters[i] if i < len(letters) else " " for i in gen.integers(0, 110, 1 + int(width / 12 / size))
        )
        place = (int(gen.integers(-20, 10)), int(y))
        cv2.putText(page, line, place, int(gen.integers(0, 8)), size, colour(gen), int(gen.integers(1, 4)), cv2.LINE_AA)
    return page


def bricks(gen: Generator, height: int, width: int) -> np.ndarray:
    """Rectangles in rectangles: windows, shelves, screens, panels."""
    page = flat(gen, height, width)
    for _ in range(int(gen.integers(5, 40))):
        x, y = int(gen.integers(-20, width)), int(gen.integers(-20, height))
        wide, high = int(width * gen.uniform(0.03, 0.5)), int(height * gen.uniform(0.03, 0.5))
        cv2.rectangle(page, (x, y), (x + wide, y + high), colour(gen), -1)
        if gen.random() < 0.5:
            cv2.rectangle(page, (x, y), (x + wide, y + high), colour(gen), int(gen.integers(1, 4)))
    return page


DRAWN: tuple[Draw, ...] = (flat, gradient, noise, shapes, shapes, stripes, text, bricks)


def drawn(gen: Generator, height: int, width: int) -> np.ndarray:
    """One of the drawn backgrounds, sometimes two of them mixed. uint8 (height, width, 3)."""
    page = DRAWN[gen.integers(len(DRAWN))](gen, height, width)
    if gen.random() < 0.2:
        page = cv2.addWeighted(page, 0.5, DRAWN[gen.integers(len(DRAWN))](gen, height, width), 0.5, 0)
    if gen.random() < 0.3:
        scribble(gen, page, int(gen.integers(1, 10)))
    return page


def shuffled(gen: Generator, picture: np.ndarray) -> np.ndarray:
    """A face cut into 2 x 2 to 4 x 4 pieces that lie elsewhere, some of them upside down: all of its parts, no face."""
    parts = int(gen.integers(2, 5))
    side = min(picture.shape[:2]) // parts
    pieces = [picture[r * side : (r + 1) * side, c * side : (c + 1) * side] for r in range(parts) for c in range(parts)]
    order = gen.permutation(len(pieces))
    while parts == 2 and any(order[i] == i for i in range(4)):
        order = gen.permutation(len(pieces))
    mixed = [np.rot90(pieces[i], int(gen.integers(4))) if gen.random() < 0.5 else pieces[i] for i in order]
    return np.concatenate([np.concatenate(mixed[r * parts : (r + 1) * parts], 1) for r in range(parts)], 0)
