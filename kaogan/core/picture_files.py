"""Pictures as files and as labelled sheets. uint8, (H, W, C) or (N, H, W, C), C = 1 or 3."""

from __future__ import annotations

import io
import math
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kaogan.core.atomic_io import atomic
from kaogan.core.errors import UsageError, nearest
from kaogan.core.images import Pictures, grid

GAP = 2  # px between the tiles of a sheet

# Pillow's name and options for each ending; JPEG at 4:4:4, since chroma at half size smears the eyes of a 64 px face.
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "png": ("PNG", {}),
    "jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    "webp": ("WEBP", {"quality": 95}),
}
SHOWN = 64  # pictures of a grid in a notebook, in rows of 8
LARGEST = 4096  # px, of one enlarged picture
MOST = 500_000_000  # px of one picture: it is in memory as a whole
LONGEST = {"png": 2**20, "jpg": 65_500, "webp": 16_383}  # px along a side
_OTHER_PICTURES = {"gif", "bmp", "tif", "tiff", "avif", "jxl", "ppm", "svg", "mp4"}


def format_of(path: Path) -> str | None:
    """The format that a path's ending means, None for a folder. Raises UsageError for a format that is not written."""
    ending = path.suffix.lower().removeprefix(".").replace("jpeg", "jpg")
    if ending in _OTHER_PICTURES:
        raise UsageError(f"pictures are written as {', '.join(FORMATS)}, not as .{ending}: {path}")
    return ending if ending in FORMATS else None


def check_format(name: str) -> str:
    """``name`` as a key of ``FORMATS``. Raises UsageError."""
    name = name.lower().removeprefix(".").replace("jpeg", "jpg")
    if name not in FORMATS:
        raise UsageError(f"unknown picture format '{name}'{nearest(name, FORMATS)}")
    return name


def check_size(height: int, width: int, format: str) -> None:
    """Raises UsageError when a format or the memory cannot hold a picture of this size."""
    if max(height, width) > LONGEST[format]:
        raise UsageError(f"a {format} cannot hold {width} × {height} px; ask for fewer pictures or for single files")
    if height * width > MOST:
        raise UsageError(
            f"{width} × {height} px are beyond {MOST // 10**6} megapixels; ask for fewer pictures or for single files"
        )


def to_image(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def png(picture: np.ndarray) -> bytes:
    """A picture (H, W, C) as the content of a PNG file."""
    buffer = io.BytesIO()
    to_image(picture).save(buffer, "PNG")
    return buffer.getvalue()


class PictureArray(np.ndarray):
    """Pictures that a notebook shows: an array like any other, which draws itself where it is uint8 (N, H, W, C) or one
    picture (H, W, C). Of more than 64 the first 64 are shown."""

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Any:
        """What is computed from pictures is numbers: a plain array, a mean a float."""
        return np.asarray(array)[()]

    def _repr_png_(self) -> bytes | None:
        """None, and so the numbers, for what is not a picture, such as a single channel."""
        if self.dtype != np.uint8 or self.ndim not in (3, 4) or self.shape[-1] not in (1, 3, 4) or not self.size:
            return None
        pictures = np.asarray(self)
        return png(grid(pictures[:SHOWN], 8) if self.ndim == 4 else pictures)


def enlarge(pictures: Pictures, size: int, how: str = "bicubic") -> Pictures:
    """Pictures (N, H, W, C) with their longer side ``size`` px. ``how``: bicubic, or nearest, which keeps pixels.

    "nearest" is antialiased: repeated to the next whole multiple, then averaged, so that all pixels stay of one size.
    Raises UsageError.
    """
    if how not in ("bicubic", "nearest"):
        raise UsageError(f"unknown way to resize '{how}'{nearest(how, ('bicubic', 'nearest'))}")
    if not 1 <= size <= LARGEST:
        raise UsageError(f"the size must be between 1 and {LARGEST} px, not {size}")
    count, height, width, channels = pictures.shape
    scale = size / max(height, width)
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    if shape == (width, height):
        return pictures
    result = np.empty((count, shape[1], shape[0], channels), np.uint8)
    for number, picture in enumerate(pictures):
        image = to_image(picture)
        if how == "nearest":
            whole = math.ceil(scale)
            image = image.resize((width * whole, height * whole), Image.Resampling.NEAREST)
        image = image.resize(shape, Image.Resampling.BOX if how == "nearest" else Image.Resampling.BICUBIC)
        result[number] = np.asarray(image).reshape(result.shape[1:])
    return result


def write_picture(picture: np.ndarray, path: Path) -> Path:
    """Write one picture (H, W, C) in the format of the path's ending. Raises UsageError or KaoganError."""
    format = check_format(path.suffix)
    name, options = FORMATS[format]
    check_size(picture.shape[0], picture.shape[1], format)
    with atomic(path) as temporary:
        to_image(picture).save(temporary, name, **options)
    return path


class Writer:
    """Writes pictures in threads while the caller makes the next ones; at most ``pending`` wait in memory.

    Leaving the ``with`` block waits for all of them. The first error of the disk is raised there or by ``put``.
    """

    def __init__(self, threads: int = 4, pending: int = 64):
        self._pool = ThreadPoolExecutor(min(threads, os.cpu_count() or 1), "kaogan-writer")
        self._waiting: deque[Future[Path]] = deque()
        self._pending = pending

    def put(self, picture: np.ndarray, path: Path) -> None:
        while len(self._waiting) >= self._pending:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(write_picture, picture, path))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        while kind is None and self._waiting:
            self._waiting.popleft().result()


def labelled_grid(pictures: Pictures, rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    """A sheet of len(rows) × len(columns) pictures with these names along its left and its upper edge.

    An empty ``rows`` is one row without a name. Names wider than a column stand upright.
    """
    _, height, width, channels = pictures.shape
    sheet = to_image(grid(pictures, len(columns), GAP))
    font = ImageFont.load_default(max(10, min(28, height // 5)))
    above = [_text(name, font) for name in columns]
    if max(label.width for label in above) > width:
        above = [label.transpose(Image.Transpose.ROTATE_90) for label in above]
    beside = [_text(name, font) for name in rows]
    top = max(label.height for label in above) + 2 * GAP
    left = max((label.width for label in beside), default=0) + (2 * GAP if beside else 0)
    canvas = Image.new(sheet.mode, (left + sheet.width, top + sheet.height), "white")
    canvas.paste(sheet, (left, top))
    for index, label in enumerate(above):
        canvas.paste(label, (left + GAP + index * (width + GAP) + (width - label.width) // 2, top - label.height))
    for index, label in enumerate(beside):
        middle = top + GAP + index * (height + GAP) + height // 2
        canvas.paste(label, (left - GAP - label.width, middle - label.height // 2))
    return np.asarray(canvas).reshape(canvas.height, canvas.width, channels)


def _text(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> Image.Image:
    """Dark words on white, as high for every word of a font."""
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    words = " ".join(words.split())
    _, _, right, _ = draw.textbbox((0, 0), words, font=font)
    *_, low = draw.textbbox((0, 0), "Ag", font=font)
    label = Image.new("L", (int(right) + 1, int(low) + 1), 255)
    ImageDraw.Draw(label).text((0, 0), words, fill=30, font=font)
    return label
