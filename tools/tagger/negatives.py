"""Negatives of the tagger, pictures that are no face, uint8 (64, 64, 3): altered faces, noise, or cut backgrounds."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from tools.tagger.corruptions import displace

Picture = np.ndarray
Negative = Callable[[Picture, np.random.Generator], Picture]


def detail(face: Picture, rng: np.random.Generator) -> Picture:
    """A small square of the picture, enlarged: hair, cloth, an eye at most."""
    size = face.shape[0]
    side = int(rng.integers(10, 25))
    top, left = rng.integers(0, size - side + 1, 2)
    part = face[top : top + side, left : left + side]
    return cv2.resize(part, (size, size), interpolation=(cv2.INTER_LINEAR, cv2.INTER_CUBIC)[rng.integers(2)])


def off_centre(face: Picture, rng: np.random.Generator) -> Picture:
    """The face has almost left the frame; the rest is one colour, or the stretched border."""
    size = face.shape[0]
    shift = rng.uniform(-0.3, 0.3, 2)
    axis = rng.integers(2)
    shift[axis] = rng.choice((-1, 1)) * rng.uniform(0.6, 0.85)
    matrix = np.array([[1, 0, shift[0] * size], [0, 1, shift[1] * size]], np.float32)
    border = (cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT)[rng.integers(2)]
    paint = tuple(float(v) for v in face[rng.integers(size), rng.integers(size)])
    return cv2.warpAffine(face, matrix, (size, size), borderMode=border, borderValue=paint)


def tiles(face: Picture, rng: np.random.Generator) -> Picture:
    """Every tile of 8 or 16 px at a random place."""
    size = face.shape[0]
    side = (8, 16)[rng.integers(2)]
    n = size // side
    cut = face.reshape(n, side, n, side, 3).swapaxes(1, 2).reshape(n * n, side, side, 3)
    return cut[rng.permutation(n * n)].reshape(n, n, side, side, 3).swapaxes(1, 2).reshape(face.shape)


def scrambled(face: Picture, rng: np.random.Generator) -> Picture:
    """The picture's own colours and spectrum with random phases: as smooth as a face, without shapes."""
    size = face.shape[0]
    phase = np.angle(np.fft.fft2(rng.standard_normal((size, size))))
    phase[0, 0] = 0
    spectrum = np.fft.fft2(face.astype(np.float32), axes=(0, 1)) * np.exp(1j * phase)[..., None]
    return _clip(np.fft.ifft2(spectrum, axes=(0, 1)).real)


def melted(face: Picture, rng: np.random.Generator) -> Picture:
    """The picture's large colour areas, displaced beyond recognition: what a young generator draws."""
    soft = cv2.GaussianBlur(face, (0, 0), float(rng.uniform(2, 7)))
    return cv2.GaussianBlur(
        displace(soft, rng.uniform(14, 30), int(rng.integers(3, 7)), rng), (0, 0), float(rng.uniform(0.6, 3))
    )


def blobs(face: Picture, rng: np.random.Generator) -> Picture:
    """A field of soft blobs in colours of the picture."""
    size = face.shape[0]
    count = int(rng.integers(4, 40))
    paints = face[rng.integers(0, size, count), rng.integers(0, size, count)].astype(np.float32)
    centres = rng.uniform(0, size, (count, 2)).astype(np.float32)
    spreads = rng.uniform(2, 14, count).astype(np.float32)
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    distance = (rows[..., None] - centres[:, 0]) ** 2 + (columns[..., None] - centres[:, 1]) ** 2
    weights = np.exp(-distance / (2 * spreads**2)) + np.float32(1e-6)
    field = weights @ paints / weights.sum(-1, keepdims=True)
    if rng.random() < 0.4:
        field += rng.standard_normal(field.shape).astype(np.float32) * rng.uniform(1, 12)
    return _clip(field)


def low_pass_noise(face: Picture, rng: np.random.Generator) -> Picture:
    """Noise with a spectrum that falls as a power of the frequency, with the picture's mean colour and contrast."""
    size = face.shape[0]
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    frequency[0, 0] = 1 / size
    white = np.fft.fft2(rng.standard_normal((size, size, 3)), axes=(0, 1))
    field = np.fft.ifft2(white * (frequency ** -rng.uniform(0, 2.2))[..., None], axes=(0, 1)).real
    if rng.random() < 0.5:
        field = 0.75 * field.mean(2, keepdims=True) + 0.25 * field
    field = (field - field.mean((0, 1))) / (field.std() + 1e-6)
    return _clip(field * rng.uniform(10, 120) + face.mean((0, 1)))


def gradient(face: Picture, rng: np.random.Generator) -> Picture:
    """One colour, or a slope between two."""
    size = face.shape[0]
    first, second = face[rng.integers(0, size, 2), rng.integers(0, size, 2)].astype(np.float32)
    if rng.random() < 0.3:
        second = first
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[:size, :size] / (size - 1) - 0.5
    slope = np.clip(0.5 + rows * np.sin(angle) + columns * np.cos(angle), 0, 1)[..., None]
    return _clip(first * (1 - slope) + second * slope + rng.standard_normal((size, size, 3)) * rng.choice((0, 0, 3)))


def drawing(face: Picture, rng: np.random.Generator) -> Picture:
    """Lines, circles, polygons and letters: hard edges that mean nothing."""
    size = face.shape[0]
    result = gradient(face, rng)
    for _ in range(rng.integers(2, 14)):
        paint = tuple(int(v) for v in face[rng.integers(size), rng.integers(size)])
        width = (-1, 1, 2, 3)[rng.integers(4)]
        a, b, c = (tuple(int(v) for v in p) for p in rng.integers(-8, size + 8, (3, 2)))
        kind = rng.integers(5)
        if kind == 0:
            cv2.line(result, a, b, paint, abs(width), cv2.LINE_AA)
        elif kind == 1:
            cv2.circle(result, a, int(rng.integers(2, 24)), paint, width, cv2.LINE_AA)
        elif kind == 2:
            cv2.fillPoly(result, [np.array([a, b, c], np.int32)], paint, cv2.LINE_AA)
        elif kind == 3:
            cv2.rectangle(result, a, b, paint, width)
        else:
            text = "".join(chr(rng.integers(33, 127)) for _ in range(4))
            cv2.putText(
                result, text, a, cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.3, 1.4)), paint, abs(width), cv2.LINE_AA
            )
    return result


NEGATIVES: tuple[Negative, ...] = (
    detail, off_centre, tiles, scrambled, melted, blobs, low_pass_noise, gradient, drawing,
)  # fmt: skip


def _clip(values: np.ndarray) -> Picture:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
