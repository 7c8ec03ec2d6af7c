"""Synthetic faults of eyes: what the eye classifier learns to tell from real faces. No generator is involved.

A face is uint8 (64, 64, 3) with the boxes of its two eyes, float (2, 4): x, y, width, height, the left one first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 64
Random = np.random.Generator


@dataclass(frozen=True)
class Face:
    pixels: np.ndarray
    eyes: np.ndarray


Fault = Callable[[Face, Face, Random], np.ndarray]
"""(face, another face, random) -> the face's pixels with the fault."""


def mask_of(box: np.ndarray, grow: float = 1.2, soft: float = 1.2) -> np.ndarray:
    """A soft ellipse about a box, float (64, 64, 1) in [0, 1]."""
    x, y, w, h = box
    mask = np.zeros((SIDE, SIDE), np.float32)
    centre, axes = (x + w / 2, y + h / 2), (w * grow / 2, h * grow / 2)
    cv2.ellipse(mask, (round(centre[0]), round(centre[1])), (round(axes[0]), round(axes[1])), 0, 0, 360, 1.0, -1)
    return cv2.GaussianBlur(mask, (0, 0), soft)[..., None]


def blend(pixels: np.ndarray, other: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.clip(pixels * (1 - mask) + other.astype(np.float32) * mask, 0, 255).astype(np.uint8)


def skin(face: Face) -> np.ndarray:
    """The median colour of the cheeks."""
    colours = []
    for x, y, w, h in face.eyes:
        top, left = int(y + h + 1), int(x + w * 0.3)
        patch = face.pixels[max(0, top) : top + 4, max(0, left) : left + max(3, int(w * 0.5))]
        if patch.size:
            colours.append(patch.reshape(-1, 3))
    return np.median(np.concatenate(colours), 0) if colours else np.array([250.0, 225.0, 210.0])


def chosen(face: Face, random: Random, both: float = 0.25) -> list[int]:
    return [0, 1] if random.random() < both else [int(random.integers(2))]


def erased(face: Face, other: Face, random: Random) -> np.ndarray:
    """An eye painted over with skin, inpainted, faded, or its upper or lower half gone."""
    pixels, kind = face.pixels, random.random()
    for number in chosen(face, random):
        box = face.eyes[number].copy()
        mask = mask_of(box, random.uniform(1.15, 1.5))
        if kind < 0.35:
            hard = (mask[..., 0] > 0.2).astype(np.uint8)
            pixels = blend(pixels, cv2.inpaint(pixels, hard, 3, cv2.INPAINT_TELEA), mask)
        elif kind < 0.75:
            colour = np.full(pixels.shape, skin(face), np.float32) + random.normal(0, 3, pixels.shape)
            pixels = blend(pixels, colour, mask * random.uniform(0.75, 1.0))
        else:
            x, y, w, h = box
            half = np.array([x, y + h * random.choice([-0.15, 0.45]), w, h * 0.7])
            pixels = blend(pixels, np.full(pixels.shape, skin(face), np.float32), mask_of(half, 1.3))
    return pixels


def other_face(face: Face, other: Face, random: Random) -> np.ndarray:
    """An eye of another face, of another colour or size, in the place of one."""
    number = int(random.integers(2))
    x, y, w, h = face.eyes[number]
    source = other.eyes[int(random.integers(2))]
    matrix = np.array(
        [[source[2] / w, 0, source[0] - x * source[2] / w], [0, source[3] / h, source[1] - y * source[3] / h]]
    )
    pasted = cv2.warpAffine(other.pixels, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                            borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    return blend(face.pixels, pasted, mask_of(face.eyes[number], 1.25))


def other_colour(face: Face, other: Face, random: Random) -> np.ndarray:
    """The iris of one eye in a colour that differs clearly from the other's."""
    number = int(random.integers(2))
    hsv = cv2.cvtColor(face.pixels, cv2.COLOR_RGB2HSV).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + int(random.integers(35, 145))) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * 1.1 + random.uniform(70, 150), 0, 255)
    turned = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2RGB)
    x, y, w, h = face.eyes[number]
    iris = np.array([x + w * 0.15, y + h * 0.1, w * 0.7, h * 0.85])
    return blend(face.pixels, turned, mask_of(iris, 1.0, 0.8) * random.uniform(0.7, 1.0))


def shifted(face: Face, other: Face, random: Random) -> np.ndarray:
    """An eye moved by 4 to 9 px, turned, or of another size; where it was is skin."""
    number = int(random.integers(2))
    x, y, w, h = face.eyes[number]
    kind = random.random()
    angle, scale, dx, dy = 0.0, 1.0, 0.0, 0.0
    if kind < 0.5:
        way, length = random.uniform(0, 2 * np.pi), random.uniform(5, 9)
        dx, dy = length * np.cos(way), length * np.sin(way)
    elif kind < 0.8:
        scale = random.choice([random.uniform(0.4, 0.6), random.uniform(1.5, 1.8)])
    else:
        angle = random.choice([-1, 1]) * random.uniform(35, 90)
    matrix: np.ndarray = cv2.getRotationMatrix2D((x + w / 2, y + h / 2), float(angle), float(scale))
    matrix[:, 2] += dx, dy
    moved = cv2.warpAffine(face.pixels, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    mask = mask_of(face.eyes[number], 1.15)
    there = cv2.warpAffine(mask, matrix, (SIDE, SIDE))[..., None]
    hard = (mask[..., 0] > 0.2).astype(np.uint8)
    cleared = blend(face.pixels, cv2.inpaint(face.pixels, hard, 3, cv2.INPAINT_TELEA), mask)
    return blend(cleared, moved, there)


def covered(face: Face, other: Face, random: Random) -> np.ndarray:
    """Hair over an eye: a piece of the picture's own hair, or strands of its colour."""
    pixels = face.pixels
    for number in chosen(face, random, 0.15):
        box = face.eyes[number]
        mask = mask_of(box, random.uniform(1.1, 1.6), 1.0)
        top = pixels[2 : max(6, int(face.eyes[:, 1].min() - 4)), 14:50].reshape(-1, 3)
        colour = np.median(top, 0)
        if random.random() < 0.5:
            dy, dx = int(random.integers(-26, -14)), int(random.integers(-6, 7))
            piece = np.roll(pixels, (-dy, dx), (0, 1))
        else:
            piece = np.full(pixels.shape, colour, np.float32)
            for _ in range(int(random.integers(2, 6))):
                x = float(box[0] + box[2] * random.uniform(-0.2, 1.2))
                end = (int(x + random.uniform(-8, 8)), int(box[1] + box[3] * 1.4))
                cv2.line(piece, (int(x), int(box[1] - 6)), end, (colour * random.uniform(0.6, 1.2)).tolist(), 1)
        pixels = blend(pixels, piece, mask)
    return pixels


def melted(face: Face, other: Face, random: Random) -> np.ndarray:
    """An eye smeared, blurred or warped until it is no eye any more."""
    pixels, kind = face.pixels, random.random()
    for number in chosen(face, random, 0.4):
        mask = mask_of(face.eyes[number], 1.35)
        if kind < 0.3:
            changed = cv2.GaussianBlur(pixels, (0, 0), random.uniform(2.2, 4.5))
        elif kind < 0.55:
            kernel = np.zeros((15, 15), np.float32)
            way, long = random.uniform(0, np.pi), random.uniform(4, 7)
            ends = [(int(7 + s * long * np.cos(way)), int(7 + s * long * np.sin(way))) for s in (-1, 1)]
            cv2.line(kernel, ends[0], ends[1], 1.0)
            changed = cv2.filter2D(pixels, -1, kernel / kernel.sum())
        else:
            field = random.normal(0, 1, (2, SIDE, SIDE)).astype(np.float32)
            field = np.stack([cv2.GaussianBlur(f, (0, 0), random.uniform(1.5, 3.0)) for f in field])
            field *= random.uniform(3.0, 6.0) / field.std()
            ys, xs = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
            changed = cv2.remap(pixels, xs + field[0], ys + field[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        pixels = blend(pixels, changed, mask)
    return pixels


def noise(face: Face, other: Face, random: Random) -> np.ndarray:
    """A weave of strokes, shuffled blocks or grain in the place of an eye."""
    pixels, kind = face.pixels, random.random()
    for number in chosen(face, random, 0.4):
        mask = mask_of(face.eyes[number], 1.2)
        if kind < 0.4:
            size = int(random.integers(2, 5))
            x, y, w, h = (int(v) for v in face.eyes[number])
            part = pixels[max(0, y) : y + h + size, max(0, x) : x + w + size].copy()
            blocks = [
                (i, j) for i in range(0, part.shape[0] - size, size) for j in range(0, part.shape[1] - size, size)
            ]
            turned, changed = part.copy(), pixels.copy()
            for (i, j), k in zip(blocks, random.permutation(len(blocks)), strict=True):
                a, b = blocks[k]
                turned[i : i + size, j : j + size] = part[a : a + size, b : b + size]
            changed[max(0, y) : y + h + size, max(0, x) : x + w + size] = turned
        elif kind < 0.7:
            coarse = random.integers(0, 256, (16, 16, 3)).astype(np.uint8)
            changed = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) * 0.5 + pixels * 0.5
        else:
            ys, xs = np.mgrid[0:SIDE, 0:SIDE]
            waves = np.sin(xs * random.uniform(0.8, 2.5) + ys * random.uniform(-2.5, 2.5))[..., None]
            changed = np.full(pixels.shape, skin(face), np.float32) + 70 * waves - random.uniform(20, 80)
        pixels = blend(pixels, changed, mask * random.uniform(0.8, 1.0))
    return pixels


def smudged(face: Face, other: Face, random: Random) -> np.ndarray:
    """Both eyes as dark smudges without iris, outline or highlight, in a picture that is soft and grainy all over."""
    pixels = face.pixels
    for x, y, w, h in face.eyes:
        part = pixels[max(0, int(y)) : int(y + h), max(0, int(x)) : int(x + w)].reshape(-1, 3)
        if not len(part):
            continue
        dark = np.quantile(part, random.uniform(0.1, 0.4), 0) * random.uniform(0.4, 1.0)
        scale = random.uniform(0.55, 1.05)
        box = np.array([x + w * (1 - scale) / 2, y + h * (1 - scale) / 2, w * scale, h * scale])
        cleared = blend(
            pixels, np.full(pixels.shape, skin(face), np.float32), mask_of(np.array([x, y, w, h]), 1.3, 2.0)
        )
        blob = np.full(pixels.shape, dark, np.float32) + random.normal(0, 14, pixels.shape)
        pixels = blend(cleared, blob, mask_of(box, 1.0, random.uniform(1.2, 2.6)) * random.uniform(0.6, 1.0))
    soft: np.ndarray = cv2.GaussianBlur(pixels, (0, 0), random.uniform(0.5, 1.6)).astype(np.float32)
    coarse = cv2.GaussianBlur(random.normal(0, 1, soft.shape).astype(np.float32), (0, 0), random.uniform(0.4, 0.9))
    return np.clip(soft + coarse / coarse.std() * random.uniform(2, 14), 0, 255).astype(np.uint8)


FAULTS: dict[str, Fault] = {
    "erased": erased,
    "other face's eye": other_face,
    "other colour": other_colour,
    "shifted": shifted,
    "covered": covered,
    "melted": melted,
    "noise": noise,
    "smudged": smudged,
}


def sham(face: Face, other: Face, random: Random) -> np.ndarray:
    """The same operations away from the eyes, or too weak to matter: so that their traces alone prove nothing."""
    kind = random.random()
    x, y = random.uniform(4, 50), random.choice([random.uniform(0, 8), random.uniform(44, 56)])
    elsewhere = np.array([[x, y, random.uniform(8, 14), random.uniform(7, 12)]] * 2)
    if kind < 0.45:
        moved = Face(face.pixels, elsewhere)
        return [erased, covered, melted, noise, shifted][int(random.integers(5))](moved, other, random)
    box = face.eyes[int(random.integers(2))]
    mask = mask_of(box, random.uniform(1.1, 1.5))
    if kind < 0.65:  # an eye put back with a slight blur
        return blend(face.pixels, cv2.GaussianBlur(face.pixels, (0, 0), random.uniform(0.3, 0.7)), mask)
    if kind < 0.85:  # moved by up to a pixel
        matrix = np.array([[1, 0, random.uniform(-1, 1)], [0, 1, random.uniform(-1, 1)]])
        return blend(
            face.pixels, cv2.warpAffine(face.pixels, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE), mask
        )
    both = np.maximum(mask_of(face.eyes[0], 1.0), mask_of(face.eyes[1], 1.0))
    hsv = cv2.cvtColor(face.pixels, cv2.COLOR_RGB2HSV).astype(np.int16)  # both eyes in another colour
    hsv[..., 0] = (hsv[..., 0] + int(random.integers(20, 160))) % 180
    return blend(face.pixels, cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), both)


def spread(pixels: np.ndarray, random: Random) -> np.ndarray:
    """Changes of the whole picture that leave eyes as right or wrong as they were: place, size, light, grain, blur."""
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
    matrix: np.ndarray = cv2.getRotationMatrix2D((32, 32), random.uniform(-8, 8), random.uniform(0.9, 1.12))
    matrix[:, 2] += random.uniform(-3, 3, 2)
    pixels = cv2.warpAffine(np.ascontiguousarray(pixels), matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    values: np.ndarray = pixels.astype(np.float32)
    values = (values - 128) * random.uniform(0.8, 1.2) + 128 + random.uniform(-15, 15)
    values *= random.uniform(0.93, 1.07, 3)
    if random.random() < 0.4:
        values = cv2.GaussianBlur(values, (0, 0), random.uniform(0.3, 0.8))
    if random.random() < 0.4:
        values += random.normal(0, random.uniform(1, 6), values.shape)
    if random.random() < 0.15:  # the weave of transposed convolutions
        ys, xs = np.mgrid[0:SIDE, 0:SIDE]
        values += (random.uniform(2, 6) * np.where((xs + ys) % 2 == 0, 1, -1))[..., None]
    values = np.clip(values, 0, 255).astype(np.uint8)
    if random.random() < 0.25:
        quality = int(random.integers(40, 95))
        jpeg = cv2.imencode(".jpg", values, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        values = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))
    return values


def sample(faces: Sequence[Face], random: Random, fault: str | None = None) -> tuple[np.ndarray, bool]:
    """(a face after ``spread``, whether its eyes are right): a real one, or one with ``fault``; None draws."""
    face, other = (faces[int(number)] for number in random.integers(len(faces), size=2))
    if fault is None and random.random() < 0.5:
        pixels = sham(face, other, random) if random.random() < 0.6 else face.pixels
        return spread(pixels, random), True
    names = [*FAULTS, "smudged", "melted"]  # the commonest faults of weak generators twice as often
    make = FAULTS[fault or names[int(random.integers(len(names)))]]
    return spread(make(face, other, random), random), False
