"""One picture file -> the pieces of it that may enter the set, each with a reason where it may not.

Everything here is a pure function of the file's bytes and the settings: it gives the same on one process, on eight and
on a cluster.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from kaogan.data.decoding import MAX_BYTES, BrokenPicture, Header, fit, read_with_header
from kaogan.prepare import faces as finding
from kaogan.prepare import image_store_paths
from kaogan.prepare.fingerprints import thumbnail
from kaogan.prepare.looks import looks_of
from kaogan.prepare.quality import measure, why_bad, why_tiny
from kaogan.prepare.settings import Picture

if TYPE_CHECKING:
    from kaogan.aux_models.face_detector import Face

KEPT_FORMATS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
LOSSY = ("JPEG", "MPO", "WEBP", "AVIF")
PREVIEW = 96  # px, longest side
_TOGETHER = 2**20  # px: pictures up to here are held for a whole batch
UNREAD = "unread"  # the step of a file that could not be read this time: no fault of the picture


@dataclass(slots=True)
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
    look: bytes  # of LOOK
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
    Raises KaoganError when they cannot be written, and for a face finder that does not work.
    """
    cv2.setNumThreads(1)  # the processes already use every core
    if settings.crop == "faces":
        finding.detector()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's hints about odd files
        found = _examine_all(settings, files)
        return [_stored(each, store) for each in found] if store else found


def examine(settings: Picture, file: bytes | Path | Drop) -> Examined:
    """``file`` is a path, the bytes of a file, or why there are none."""
    return _examine_all(settings, [file])[0]


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file that is a picture large enough."""

    data: bytes
    digest: str
    width: int
    height: int
    picture: Image.Image
    header: Header


def _examine_all(settings: Picture, files: Iterable[bytes | Path | Drop]) -> list[Examined]:
    """One by one; but small pictures are held until the faces of all of them are looked for together."""
    results: list[Examined] = []
    waiting: dict[int, _Opened] = {}
    for at, file in enumerate(files):
        opened = _open(settings, file)
        if isinstance(opened, _Opened):
            if settings.crop == "faces" and opened.width * opened.height <= _TOGETHER:
                waiting[at] = opened
            else:
                opened = _pieces(settings, opened)
        results.append(opened)  # type: ignore[arg-type]
    faces: Sequence[list[Face] | None] = [None] * len(waiting)
    with suppress(MemoryError, ValueError, cv2.error):  # of one of them: each on its own tells of which
        faces = finding.find_many(settings, [opened.picture for opened in waiting.values()])
    for (at, opened), found in zip(waiting.items(), faces, strict=True):
        results[at] = _pieces(settings, opened, found)
    return results


def _open(settings: Picture, file: bytes | Path | Drop) -> _Opened | Examined:
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
    return _Opened(data, digest, width, height, picture, header)


def _pieces(settings: Picture, opened: _Opened, faces: list[Face] | None = None) -> Examined:
    """``faces``: those of the picture if they were looked for already."""
    try:
        if settings.crop == "faces":
            found = _faces(settings, opened.picture, opened.header.format, faces)
        else:
            area = opened.width * opened.height
            found = [_whole(settings, opened.picture, opened.header, opened.data, area)]
    except (MemoryError, ValueError, OSError, cv2.error) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        found = [Drop("broken", f"cannot be worked on: {first[:120]}")]
    return Examined(opened.digest, opened.width, opened.height, tuple(found))


def _stored(found: Examined, store: str) -> Examined:
    for number, piece in enumerate(found.found):
        if isinstance(piece, Piece):
            image_store_paths.put(store, f"{found.digest}-{number}", piece.suffix, piece.data)
            piece.data = b""
    return found


def preview(picture: Image.Image) -> bytes:
    """A small JPEG for the report."""
    factor = PREVIEW / max(picture.size)
    if factor < 1:
        width, height = (max(1, round(side * factor)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)
    return encoded(picture, "JPEG", quality=80)


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
    return Piece(content, len(content), suffix, *result.size, area, None, 0.0, measures.brightness, *_looks(pixels))


def _faces(settings: Picture, picture: Image.Image, format: str, faces: list[Face] | None) -> list[Piece | Drop]:
    """Every face that is sure and large enough. A picture without one is dropped as a whole."""
    if faces is None:
        faces = finding.find(settings, picture)
    if not faces:
        reason = f"no face of {settings.smallest_side} px or more"
        return [Drop("no face", reason, preview(picture))]
    return [_face(settings, picture, face, format) for face in faces[: settings.faces]]


def _face(settings: Picture, picture: Image.Image, face: Face, format: str) -> Piece | Drop:
    cut, area = finding.cut(settings, picture, face)
    if reason := why_tiny(round(face.width), round(face.height), settings):
        return Drop("tiny", f"face of {reason}", preview(cut))
    result = render(settings, cut)
    pixels = np.asarray(result)
    measures = measure(pixels)
    if bad := why_bad(measures, settings):
        return Drop(*bad, preview(result))
    content, suffix = encode(settings, result, format)
    box = (face.x, face.y, face.width, face.height)
    about = (*result.size, area, box, face.score, measures.brightness)
    return Piece(content, len(content), suffix, *about, *_looks(pixels))


def _looks(pixels: np.ndarray) -> tuple[bytes, bytes]:
    small = thumbnail(pixels)
    return looks_of(small[None]).tobytes(), small.tobytes()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    """The bytes of a picture in one of Pillow's formats."""
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()
