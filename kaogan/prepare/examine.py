"""One picture file -> the pieces of it that may enter the set, each with a reason where it may not.

Everything here is a pure function of the file's bytes and the settings: it gives the same on one process, on eight and
on a cluster.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from kaogan.data.decoding import MAX_BYTES, BrokenPicture, Header, fit, read_with_header
from kaogan.prepare import shelf
from kaogan.prepare.checks import measure, why_bad, why_tiny
from kaogan.prepare.hashing import thumbnail
from kaogan.prepare.settings import Picture

if TYPE_CHECKING:
    from kaogan.faces import Detector, Face

KEPT_FORMATS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
LOSSY = ("JPEG", "MPO", "WEBP", "AVIF")
PREVIEW = 96  # px, longest side
STRIP = 1024  # rows
UNREAD = "unread"  # the step of a file that could not be read this time: no fault of the picture


@dataclass(frozen=True, slots=True)
class Piece:
    """A picture that passed every check: a face, or the whole picture."""

    data: bytes  # the encoded file; empty once it lies in the store
    length: int  # of the encoded file, bytes
    suffix: str
    width: int
    height: int
    area: int  # px of the source that went into it
    box: tuple[float, float, float, float] | None  # of the face in the upright source: x, y, width, height
    score: float  # of the face finder
    brightness: float
    thumbnail: bytes  # uint8 (32, 32, 3)


@dataclass(frozen=True, slots=True)
class Drop:
    """A picture or one of its faces that is left out: the step that did it, why, and what it looked like."""

    step: str
    reason: str
    preview: bytes = b""  # JPEG, or empty


@dataclass(frozen=True, slots=True)
class Examined:
    digest: str  # of the file's bytes, 32 hex digits
    width: int  # upright, px; 0 when unknown
    height: int
    found: tuple[Piece | Drop, ...]


def examine_many(settings: Picture, store: str | None, files: Iterable[bytes | Path | Drop]) -> list[Examined]:
    """``examine`` for a batch: the unit of work that is handed to a process or a cluster.

    ``store``: the folder that the pieces are put into; without one (a cluster shares no disk) they are given back.
    Raises KaoganError when they cannot be written.
    """
    cv2.setNumThreads(1)  # the processes already use every core
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's hints about odd files
        found = (examine(settings, file) for file in files)
        return [_stored(each, store) for each in found] if store else list(found)


def _stored(found: Examined, store: str) -> Examined:
    pieces: list[Piece | Drop] = []
    for number, piece in enumerate(found.found):
        if isinstance(piece, Piece):
            shelf.put(store, f"{found.digest}-{number}", piece.suffix, piece.data)
            piece = replace(piece, data=b"")
        pieces.append(piece)
    return replace(found, found=tuple(pieces))


def examine(settings: Picture, file: bytes | Path | Drop) -> Examined:
    """``file`` is a path, the bytes of a file, or why there are none."""
    if isinstance(file, Drop):
        return Examined("", 0, 0, (file,))
    try:
        data = file if isinstance(file, bytes) else _read(file)
    except OSError as error:
        return Examined("", 0, 0, (Drop(UNREAD, f"cannot be read: {error.strerror or error}"),))
    digest = hashlib.sha256(data).hexdigest()[:32]
    try:
        picture, header = read_with_header(data, at_least=None if settings.crop == "faces" else settings.size)
    except BrokenPicture as broken:
        return Examined(digest, 0, 0, (Drop("broken", broken.reason),))
    width, height = header.width, header.height
    if (picture.width > picture.height) != (width > height):  # EXIF turned it
        width, height = height, width
    if reason := why_tiny(width, height, settings):
        return Examined(digest, width, height, (Drop("tiny", reason, preview(picture)),))
    try:
        if settings.crop == "faces":
            found = _faces(settings, picture, header.format)
        else:
            found = [_whole(settings, picture, header, data, width * height)]
    except (MemoryError, ValueError, OSError, cv2.error) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        found = [Drop("broken", f"cannot be worked on: {first[:120]}")]
    return Examined(digest, width, height, tuple(found))


def preview(picture: Image.Image) -> bytes:
    """A small JPEG for the report."""
    factor = PREVIEW / max(picture.size)
    if factor < 1:
        width, height = (max(1, round(side * factor)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)
    return encoded(picture, "JPEG", quality=80)


def pixels_of(picture: Image.Image) -> np.ndarray:
    """uint8 (H, W, 3) of an RGB picture, by strips: ``np.asarray`` holds the whole three times over."""
    if picture.height <= STRIP:
        return np.asarray(picture)
    pixels = np.empty((picture.height, picture.width, len(picture.getbands())), np.uint8)
    for top in range(0, picture.height, STRIP):
        below = min(top + STRIP, picture.height)
        pixels[top:below] = np.asarray(picture.crop((0, top, picture.width, below)))
    return pixels


def render(settings: Picture, picture: Image.Image) -> Image.Image:
    """Cropped to the centre if asked and resized, antialiased, so that the short side is ``size``."""
    width, height = picture.size
    short = min(width, height)
    size = settings.size or short
    if settings.crop == "center":
        return fit(picture, size)
    if short == size:
        return picture
    target = (max(size, round(width * size / short)), max(size, round(height * size / short)))
    return picture.resize(target, Image.Resampling.LANCZOS, reducing_gap=3.0)


def encode(settings: Picture, picture: Image.Image, format: str) -> tuple[bytes, str]:
    """(bytes, suffix) in the format asked for; ``format`` is that of the source."""
    wanted = settings.format
    if wanted == "keep":
        wanted = "jpg" if format in LOSSY else "png"
    if wanted == "png":
        return encoded(picture, "PNG"), ".png"
    if wanted == "webp":
        return encoded(picture, "WEBP", quality=settings.quality), ".webp"
    return encoded(picture, "JPEG", quality=settings.quality, subsampling=0), ".jpg"


def _whole(settings: Picture, picture: Image.Image, header: Header, data: bytes, area: int) -> Piece | Drop:
    result = render(settings, picture)
    pixels = np.asarray(result)
    measures = measure(pixels)
    if bad := why_bad(measures, settings):
        return Drop(*bad, preview(result))
    untouched = result.size == (header.width, header.height) and header.plain and header.format in KEPT_FORMATS
    if untouched and settings.format in ("keep", KEPT_FORMATS[header.format][1:]):
        content, suffix = data, KEPT_FORMATS[header.format]
    else:
        content, suffix = encode(settings, result, header.format)
    small = thumbnail(pixels).tobytes()
    return Piece(content, len(content), suffix, *result.size, area, None, 0.0, measures.brightness, small)


def _faces(settings: Picture, picture: Image.Image, format: str) -> list[Piece | Drop]:
    """Every face that is sure and large enough. A picture without one is dropped as a whole."""
    pixels = pixels_of(picture)
    faces = detector().find(pixels, smallest=settings.smallest_side, threshold=settings.face_score)
    if not faces:
        reason = f"no face of {settings.smallest_side} px or more"
        return [Drop("no face", reason, preview(picture))]
    return [_face(settings, pixels, face, format) for face in faces[: settings.faces]]


def _face(settings: Picture, pixels: np.ndarray, face: Face, format: str) -> Piece | Drop:
    from kaogan.faces import crop

    margin = (
        fitting_margin(settings.margin, face, pixels.shape[1], pixels.shape[0]) if settings.square else settings.margin
    )
    cut = Image.fromarray(crop(pixels, face, margin=margin, square=settings.square, upright=settings.upright))
    if reason := why_tiny(round(face.width), round(face.height), settings):
        return Drop("tiny", f"face of {reason}", preview(cut))
    result = render(settings, cut)
    seen = np.asarray(result)
    measures = measure(seen)
    if bad := why_bad(measures, settings):
        return Drop(*bad, preview(result))
    content, suffix = encode(settings, result, format)
    box = (face.x, face.y, face.width, face.height)
    small, area = thumbnail(seen).tobytes(), cut.width * cut.height
    return Piece(content, len(content), suffix, *result.size, area, box, face.score, measures.brightness, small)


def fitting_margin(margin: float, face: Face, width: int, height: int) -> float:
    """The most of ``margin`` that the picture really has around the face, at least 0.

    ``crop`` moves a window inwards by up to half its margin and repeats the edge where that is not enough; a generator
    would learn the streaks. A tighter frame is the lesser evil.
    """
    side = max(face.width, face.height)
    x, y = face.centre
    room = min(x, y, width - x, height - y)
    return max(0.0, min(margin, 2 * (room / side - 0.5), (min(width, height) / side - 1) / 2))


@lru_cache(maxsize=1)
def detector() -> Detector:
    from kaogan.faces import load_detector

    return load_detector()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    """The bytes of a picture in one of Pillow's formats."""
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()
