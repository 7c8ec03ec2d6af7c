"""Processing of one picture file: its crops that may enter the set, and its rejections with reasons.

Everything here is a pure function of the file's bytes and the settings: it gives the same on one process, on eight and
on a cluster.
"""

from __future__ import annotations

import hashlib
import io
import platform
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from kaogan.core.errors import KaoganError, is_out_of_memory
from kaogan.data.decoding import MAX_BYTES, BrokenPicture, Header, fit, may_pass, read_with_header
from kaogan.prepare import faces as finding
from kaogan.prepare.fingerprints import fingerprints_of, thumbnail
from kaogan.prepare.image_store import store_image
from kaogan.prepare.processed_file import SURPLUS, UNREAD, EncodedCrop, File, ProcessedFile, Rejection
from kaogan.prepare.quality import measure, rejection_reason, too_small_reason
from kaogan.prepare.settings import Picture

if TYPE_CHECKING:
    from kaogan.aux_models.face_detector import Face

KEPT_FORMATS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
LOSSY = ("JPEG", "MPO", "WEBP", "AVIF")
PREVIEW = 96  # px, longest side
_TOGETHER = 2**20  # px: pictures up to here are held for a whole batch


def process_files(settings: Picture, store: str | None, files: Iterable[File], marker: str = "") -> list[ProcessedFile]:
    """``examine`` for a batch: the unit of work that is handed to a process or a cluster.

    ``store``: the folder that the crops are put into; without one (a cluster shares no disk) they are given back.
    ``marker``: a file that is there where the store is shared, "" on one machine. Raises KaoganError when the crops
    cannot be written, and for a face finder that does not work.
    """
    if marker and not Path(marker).is_file():
        raise KaoganError(
            f"the worker on {platform.node()} does not see {store}, which the others do: give it the same storage"
        )
    cv2.setNumThreads(1)  # the processes already use every core
    if settings.crop == "faces":
        finding.detector()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's hints about odd files
        found = _process_all(settings, files)
        return [_stored(each, store) for each in found] if store else found


def process_file(settings: Picture, file: File) -> ProcessedFile:
    """``file`` is a path, the bytes of a file, or why there are none."""
    return _process_all(settings, [file])[0]


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file that is a picture large enough."""

    data: bytes
    digest: str
    width: int
    height: int
    picture: Image.Image
    header: Header


def _process_all(settings: Picture, files: Iterable[File]) -> list[ProcessedFile]:
    """One by one; but small pictures are held until the faces of all of them are looked for together."""
    results: list[ProcessedFile] = []
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
    with suppress(MemoryError, ValueError, RuntimeError, cv2.error):  # of one of them: each on its own tells of which
        faces = finding.find_many(settings, [opened.picture for opened in waiting.values()])
    for (at, opened), found in zip(waiting.items(), faces, strict=True):
        results[at] = _pieces(settings, opened, found)
    return results


def _open(settings: Picture, file: File) -> _Opened | ProcessedFile:
    if isinstance(file, Rejection):
        return ProcessedFile("", 0, 0, (file,))
    try:
        data = file if isinstance(file, bytes) else _read(file) if isinstance(file, Path) else file.read()
    except (OSError, KaoganError) as error:
        reason = getattr(error, "strerror", None) or error
        return ProcessedFile("", 0, 0, (Rejection(UNREAD, f"cannot be read: {reason}"),))
    except BrokenPicture as broken:
        return ProcessedFile("", 0, 0, (Rejection(UNREAD if broken.passing else "broken", broken.reason),))
    digest = hashlib.sha256(data).hexdigest()[:32]
    try:
        picture, header = read_with_header(data, at_least=None if settings.crop == "faces" else settings.size)
    except BrokenPicture as broken:
        return ProcessedFile(digest, 0, 0, (Rejection(UNREAD if broken.passing else "broken", broken.reason),))
    width, height = header.width, header.height
    if (picture.width > picture.height) != (width > height):  # EXIF turned it
        width, height = height, width
    if reason := too_small_reason(width, height, settings):
        return ProcessedFile(digest, width, height, (Rejection("tiny", reason, preview(picture)),))
    return _Opened(data, digest, width, height, picture, header)


def _pieces(settings: Picture, opened: _Opened, faces: list[Face] | None = None) -> ProcessedFile:
    """``faces``: those of the picture if they were looked for already."""
    try:
        if settings.crop == "faces":
            found = _faces(settings, opened.picture, opened.header.format, faces)
        else:
            area = opened.width * opened.height
            found = [_whole(settings, opened.picture, opened.header, opened.data, area)]
    except (MemoryError, ValueError, OSError, RuntimeError, cv2.error) as error:
        passing = may_pass(error) or is_out_of_memory(error) or getattr(error, "code", None) == cv2.Error.STS_NO_MEM
        if isinstance(error, RuntimeError) and not passing:
            raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        found = [Rejection(UNREAD if passing else "broken", f"cannot be worked on: {first[:120]}")]
    return ProcessedFile(opened.digest, opened.width, opened.height, tuple(found))


def _stored(found: ProcessedFile, store: str) -> ProcessedFile:
    for number, item in enumerate(found.found):
        if isinstance(item, EncodedCrop):
            store_image(store, f"{found.digest}-{number}", item.suffix, item.data)
            item.data = b""
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


def _whole(settings: Picture, picture: Image.Image, header: Header, data: bytes, area: int) -> EncodedCrop | Rejection:
    result = render(settings, picture)
    pixels = np.asarray(result)
    measures = measure(pixels)
    if bad := rejection_reason(measures, settings):
        return Rejection(*bad, preview(result))
    untouched = result.size == (header.width, header.height) and header.plain and header.format in KEPT_FORMATS
    if untouched and settings.format in ("keep", KEPT_FORMATS[header.format][1:]):
        content, suffix = data, KEPT_FORMATS[header.format]
    else:
        content, suffix = encode(settings, result, header.format)
    return EncodedCrop(
        content, len(content), suffix, *result.size, area, None, 0.0, measures.brightness, *_prints(pixels)
    )


def _faces(
    settings: Picture, picture: Image.Image, format: str, faces: list[Face] | None
) -> list[EncodedCrop | Rejection]:
    """Every face that is sure and large enough. A picture without one is dropped as a whole."""
    if faces is None:
        faces = finding.find(settings, picture)
    if not faces:
        reason = f"no face of {settings.smallest_side} px or more"
        return [Rejection("no face", reason, preview(picture))]
    # Those beyond are named, or the labels of the picture would be taken for those of the only face left.
    beyond = Rejection(SURPLUS, f"one of {len(faces)} faces, of which {settings.faces} are taken")
    taken = [_face(settings, picture, face, format) for face in faces[: settings.faces]]
    return taken + [beyond] * (len(faces) - len(taken))


def _face(settings: Picture, picture: Image.Image, face: Face, format: str) -> EncodedCrop | Rejection:
    cut, area = finding.cut(settings, picture, face)
    if reason := too_small_reason(round(face.width), round(face.height), settings):
        return Rejection("tiny", f"face of {reason}", preview(cut))
    result = render(settings, cut)
    pixels = np.asarray(result)
    measures = measure(pixels)
    if bad := rejection_reason(measures, settings):
        return Rejection(*bad, preview(result))
    content, suffix = encode(settings, result, format)
    box = (face.x, face.y, face.width, face.height)
    about = (*result.size, area, box, face.score, measures.brightness)
    return EncodedCrop(content, len(content), suffix, *about, *_prints(pixels))


def _prints(pixels: np.ndarray) -> tuple[bytes, bytes]:
    small = thumbnail(pixels)
    return fingerprints_of(small[None]).tobytes(), small.tobytes()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def encoded(picture: Image.Image, format: str, **options: object) -> bytes:
    """The bytes of a picture in one of Pillow's formats."""
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()
