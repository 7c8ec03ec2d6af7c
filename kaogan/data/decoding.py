"""Decoding of one picture file: upright sRGB or grey pixels, or the reason why not."""

from __future__ import annotations

import errno
import io
import re
import threading
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from kaogan.core.notes import note
from kaogan.data.jpeg import plain_jpeg, with_end

# Formats that Pillow decodes inside this process. EPS, which would start Ghostscript, and the rest are never tried.
_WANTED = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "AVIF", "TIFF", "PPM")
Image.init()
FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)
# Not MPO, in which telephones keep a preview.
_ANIMATED = tuple(name for name in ("PNG", "WEBP", "GIF", "AVIF", "TIFF") if name in FORMATS)

MAX_PIXELS = 100_000_000  # width x height; checked in the header, before anything is decoded
MAX_BYTES = 256 * 2**20  # of one picture file, unpacked

# A picture beyond this is decoded alone: a set of them on many cores would fill the memory.
_LARGE_PIXELS, _LARGE = 16_000_000, threading.RLock()  # a JPEG that is completed is read twice

_SMALL_PIXELS = 2**20
_STRIP = 2**18  # numbers that are floats at a time

# The modes that colour profiles are applied to, and the modes in which they are.
_CMS_MODES = {"RGB": "RGB", "RGBA": "RGB", "P": "RGB", "L": "L", "LA": "L", "CMYK": "CMYK"}
_CMS_MODES |= dict.fromkeys(("RGBX", "PA", "YCbCr"), "RGB")
_SRGB_ROUNDING = 3  # levels
_USED = (255, 1023, 4095)  # the largest numbers of cameras and scanners, in pictures of 16 bits

# (a pattern of the first bytes in lower case, where they begin, what the file is)
_OTHER_KINDS = (
    (rb"ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", 4, "a HEIC picture: convert it to JPEG or PNG (heif-convert)"),
    (rb"ftypjxl |jxl ", 4, "a JPEG XL picture: convert it to PNG"),
    (rb"\xff\x0a", 0, "a JPEG XL picture: convert it to PNG"),
    (rb"version https://git-lfs", 0, "a Git LFS pointer: run git lfs pull"),
    (rb"\s*(<!doctype html|<html)", 0, "a web page, perhaps an error of the download"),
    (rb"\s*(<\?xml|<svg)", 0, "an SVG or XML file: render it to PNG"),
    (rb"%pdf", 0, "a PDF"),
    (rb"8bps", 0, "a Photoshop file: save it as PNG"),
    (rb"ftyp", 4, "a video"),
    (rb"pk\x03\x04", 0, "a zip"),
)

ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BrokenPicture(Exception):  # noqa: N818 - it names what it is
    """This file is not a picture that can be used. ``reason`` is a few words for a list.

    ``passing``: the cause is no fault of the file, such as a disk's hiccup; another time it may be read.
    """

    def __init__(self, reason: str, passing: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.passing = reason, passing


def may_pass(error: BaseException) -> bool:
    """Whether an error of reading a picture comes from the system or a full memory, and not from the file."""
    # Pillow's own have no number; EINVAL is what a seek to a place that a damaged file names gives.
    from_system = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
    return from_system or isinstance(error, MemoryError)


@dataclass(frozen=True)
class Header:
    """What a file says of itself."""

    format: str  # Pillow's name: JPEG, PNG, WEBP ...
    width: int  # as it lies in the file, before it is turned upright, px
    height: int
    plain: bool  # one upright RGB or grey picture of 8 bits: any reader shows what we see
    completed: bool = False  # a JPEG without its end, which other readers refuse; then not plain


def decode(source: bytes | str | Path, image_size: int, channels: int = 3) -> np.ndarray:
    """A picture as uint8 (S, S, C): short side resized to ``image_size`` with antialiasing, then the centre cropped.

    ``source`` is a path or the bytes of a file; ``channels`` is 3 (RGB) or 1 (grey). Raises BrokenPicture.
    """
    picture = read_picture(source, channels, at_least=image_size)
    try:
        return np.asarray(fit(picture, image_size)).reshape(image_size, image_size, channels)
    except (ValueError, OSError, MemoryError) as error:
        raise BrokenPicture(f"cannot be resized: {_first_line(error)}", may_pass(error)) from error


def read_picture(source: bytes | str | Path, channels: int = 3, at_least: int | None = None) -> Image.Image:
    """The whole picture, upright, in mode RGB (or L for ``channels=1``), alpha laid over white, 16 bits scaled to 8.

    ``channels=4`` is RGBA: alpha is kept.

    With ``at_least``, a JPEG may be read at half, a quarter or an eighth of its size, never with a side below three
    times ``at_least``: what is left to resize still decides the look. Raises BrokenPicture.
    """
    return read_with_header(source, channels, at_least)[0]


def read_with_header(
    source: bytes | str | Path, channels: int = 3, at_least: int | None = None
) -> tuple[Image.Image, Header]:
    """Like ``read_picture``, with what the file says of itself."""
    if channels not in (1, 3, 4):
        raise ValueError(f"channels must be 1, 3 or 4, not {channels}")
    if isinstance(source, bytes):
        if not source:
            raise BrokenPicture("zero bytes")
        if small := _small_jpeg(source, channels, at_least):
            return small
        return _read(io.BytesIO(source), channels, at_least)
    try:
        with Path(source).open("rb") as file:
            if not file.read(1):
                raise BrokenPicture("zero bytes")
            file.seek(0)
            return _read(file, channels, at_least)
    except OSError as error:
        raise BrokenPicture(f"cannot be opened: {error.strerror or error}", may_pass(error)) from error


def is_animated(source: bytes | str | Path) -> bool:
    """Whether more pictures follow the one that is read: an animation, or the pages of a TIFF."""
    with (
        suppress(Exception),
        Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_ANIMATED) as opened,
    ):
        return bool(getattr(opened, "is_animated", False))
    return False


def fit(picture: Image.Image, image_size: int) -> Image.Image:
    """Resize the short side to ``image_size`` and crop the centre, in one pass over the pixels that are kept.

    A very long picture therefore never becomes a very large one.
    """
    width, height = picture.size
    if (width, height) == (image_size, image_size):
        return picture
    scale = image_size / min(width, height)
    wide, high = max(image_size, round(width * scale)), max(image_size, round(height * scale))
    left, top = (wide - image_size) // 2, (high - image_size) // 2
    x, y = width / wide, height / high
    box = (left * x, top * y, min(width, (left + image_size) * x), min(height, (top + image_size) * y))
    return picture.resize((image_size, image_size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)


def _small_jpeg(data: bytes, channels: int, at_least: int | None) -> tuple[Image.Image, Header] | None:
    """The short way for what most sets are made of; None for all that needs more care, broken files too.

    Pillow's own reader parses every segment of the header; for a picture of 64 px that takes longer than decoding it.
    """
    if (found := plain_jpeg(data)) is None:
        return None
    mode, width, height = found
    if width * height > _SMALL_PIXELS or (at_least and min(width, height) >= 6 * at_least):  # it may be reduced
        return None
    try:
        picture = Image.frombytes(mode, (width, height), data, "jpeg", mode, "")
    except (ValueError, OSError, MemoryError):
        return None
    target = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    picture = picture if mode == target else picture.convert(target)
    return picture, Header("JPEG", width, height, True)


def _read(file: BinaryIO, channels: int, at_least: int | None) -> tuple[Image.Image, Header]:
    """Every exception of a decoder becomes BrokenPicture: what hostile bytes make Pillow raise is nowhere listed."""
    try:
        with Image.open(file, formats=FORMATS) as opened:
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise BrokenPicture(f"too large: {width} x {height} pixels, more than {MAX_PIXELS // 10**6} megapixels")
            if at_least and opened.format == "JPEG":
                opened.draft(None, (3 * at_least, 3 * at_least))
            with _LARGE if opened.size[0] * opened.size[1] > _LARGE_PIXELS else nullcontext():
                deep = is_deep(opened)
                try:
                    _load_whole(opened)
                except OSError:
                    if opened.format != "JPEG" or (whole := with_end(file)) is None:
                        raise
                    picture, header = _read(whole, channels, at_least)
                    return picture, replace(header, plain=False, completed=True)
                whole_range = _whole_range(file, opened) if deep else opened
                picture = _upright(_to_mode(to_srgb(whole_range), channels), opened)
                return picture, Header(opened.format or "", width, height, _is_plain(opened) and not deep)
    except BrokenPicture:
        raise
    except UnidentifiedImageError as error:
        raise BrokenPicture(_what_else(file) or "not a known kind of picture, or broken at its start") from error
    except Image.DecompressionBombError as error:
        raise BrokenPicture(f"too large: more than {MAX_PIXELS // 10**6} megapixels") from error
    except MemoryError as error:
        raise BrokenPicture("too large for the memory", passing=True) from error
    except Exception as error:
        if isinstance(error, OSError) and may_pass(error):
            raise BrokenPicture(f"cannot be read: {error.strerror}", passing=True) from error
        raise BrokenPicture(f"broken or truncated: {_first_line(error)}") from error


def _what_else(file: BinaryIO) -> str:
    """What a file that is no picture is instead, as far as its first bytes tell, and what to do."""
    with suppress(OSError, ValueError):
        file.seek(0)
        start = file.read(64)
        for mark, where, what in _OTHER_KINDS:
            if re.match(mark, start[where:].lower()):
                return what
    return ""


def is_deep(opened: Image.Image) -> bool:
    """Whether an opened picture, not yet loaded, has 16 bits a colour, of which Pillow keeps the upper 8."""
    return opened.mode in ("RGB", "RGBA", "LA") and any(";16" in str(part[3]) for part in getattr(opened, "tile", ()))


def _whole_range(file: BinaryIO, picture: Image.Image) -> Image.Image:
    """A deep picture that uses its lower 8, 10 or 12 bits only, scaled: its upper 8 are nearly black."""
    coloured = [band != "A" for band in picture.getbands()]
    if np.array(picture.getextrema())[coloured].max() > _USED[-1] >> 8:
        return picture
    import cv2

    file.seek(0)
    values: Any = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 3:
        raise BrokenPicture("uses few of its 16 bits a colour: convert it to 8 bits")
    highest = int(values[..., :3].max())
    top = next((most for most in _USED if highest <= most), 0)
    if not top or not highest:
        return picture
    note(f"colour pictures of more bits than they use were scaled from 0 … {top:,} to 0 … 255")
    scaled = np.empty(values.shape, np.uint8)
    for to, at in ((0, 2), (1, 1), (2, 0)):
        scaled[..., to] = _scaled(values[..., at], 0, top)
    scaled[..., 3:] = values[..., 3:] >> 8
    found = Image.fromarray(scaled)
    found.info = picture.info
    return found


def is_srgb(picture: Image.Image) -> bool:
    """Whether the picture has no colour profile, an unreadable one, or one that changes nothing."""
    profile = picture.info.get("icc_profile")
    return not profile or _transform(profile, _CMS_MODES.get(picture.mode, "RGB")) is None


def to_srgb(picture: Image.Image) -> Image.Image:
    """Convert from the embedded ICC profile to sRGB; alpha stays."""
    mode = _CMS_MODES.get(picture.mode)
    profile = picture.info.get("icc_profile")
    if not profile or not mode or (transform := _transform(profile, mode)) is None:
        return picture
    alpha = picture.convert("RGBA").getchannel("A") if "A" in picture.mode or "transparency" in picture.info else None
    source = picture if picture.mode == mode else picture.convert("RGBA" if alpha else mode).convert(mode)
    converted = ImageCms.applyTransform(source, transform)
    if converted is None:
        return picture
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """To sRGB; None for a profile that is broken, of other channels, or sRGB itself within the rounding."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode == "CMYK":
            return transform
        steps = np.linspace(0, 255, 9).astype(np.uint8)
        cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)
        patch = Image.fromarray(cube if mode == "RGB" else cube[..., 0])
        converted = ImageCms.applyTransform(patch, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    gap = np.abs(np.asarray(converted).astype(int) - np.asarray(patch.convert("RGB")))
    return transform if gap.max() > _SRGB_ROUNDING else None


def _load_whole(picture: Image.Image) -> None:
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        # Another library may have switched this on for the whole process; a half-grey face is worse than none.
        raise RuntimeError("PIL.ImageFile.LOAD_TRUNCATED_IMAGES is on")
    picture.load()


def _to_mode(picture: Image.Image, channels: int) -> Image.Image:
    """Any mode of Pillow -> RGB or L, with transparency over white, or RGBA."""
    target = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        return to_srgb(_eight_bits(picture)).convert(target)
    if picture.mode in ("RGBa", "La"):
        picture = picture.convert("RGBA" if picture.mode == "RGBa" else "LA")
    if channels == 4:
        return picture.convert(target)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, layer).convert("RGB")
    elif picture.mode not in ("RGB", "L", "1"):
        picture = picture.convert("RGB")
    if picture.mode != target:
        return picture.convert(target)
    return picture.copy() if getattr(picture, "n_frames", 1) > 1 else picture  # of one frame, it is read for good


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits, 32 bits or floats -> L: the whole range is scaled, where Pillow's own convert would clip."""
    values = np.asarray(picture)
    finite = np.isfinite(values)
    if not finite.any():
        raise BrokenPicture("holds no numbers, only NaN or infinity")
    known = values if finite.all() else values[finite]
    low, high = float(known.min()), float(known.max())
    if known is not values:
        note("grey pictures hold numbers that are not finite: drawn as the darkest or brightest of the others")
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    # Floats are 0 to 1 or 0 to 255 by custom, integers 16 bits, of which cameras and scanners often use 8, 10 or 12 and
    # would come out black; anything else can only be stretched.
    customs = (1.0, 255.0) if picture.mode == "F" else (*map(float, _USED), 65535.0)
    bottom, top = next(((0.0, most) for most in customs if low >= 0 and high <= most), (low, high))
    if picture.mode != "F" and high > 0 and (bottom, top) in ((0.0, most) for most in customs[:-1]):
        note(f"grey pictures of more bits than they use were scaled from 0 … {top:,.0f} to 0 … 255")
    elif (bottom, top) not in ((0.0, most) for most in customs):
        note("grey pictures of an unusual range were stretched from their darkest to their brightest value")
    found = Image.fromarray(_scaled(values, bottom, top))
    found.info = picture.info
    return found


def _scaled(values: np.ndarray, bottom: float, top: float) -> np.ndarray:
    """Numbers (H, W) from ``bottom`` to ``top`` -> 0 to 255 as uint8, in strips: as floats they fill the memory."""
    found = np.empty(values.shape, np.uint8)
    rows = max(1, _STRIP // values.shape[1])
    for at in range(0, len(values), rows):
        strip = values[at : at + rows].astype(np.float64)
        found[at : at + rows] = np.rint((strip - bottom) * (255 / ((top - bottom) or 1)))
    return found


def _upright(picture: Image.Image, opened: Image.Image) -> Image.Image:
    """Apply the EXIF orientation. An unreadable EXIF block is no reason to lose a whole picture."""
    try:
        turn = _TURNS.get(opened.getexif().get(ORIENTATION, 1))
    except Exception:
        return picture
    return picture.transpose(turn) if turn is not None else picture


def _is_plain(opened: Image.Image) -> bool:
    try:
        upright = opened.getexif().get(ORIENTATION, 1) in (0, 1)
    except Exception:
        upright = False
    return (
        upright
        and opened.mode in ("RGB", "L")
        and is_srgb(opened)
        and "transparency" not in opened.info
        and getattr(opened, "n_frames", 1) == 1
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
