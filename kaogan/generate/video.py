"""Frames as a film: MP4, GIF or WebP, a sheet, or a folder of single pictures; the ending of the name decides."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sized
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from kaogan.core.atomic_io import atomic
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import grid
from kaogan.core.picture_files import FORMATS, GAP, Writer, to_image, write_picture

FASTEST = {"mp4": 240, "webp": 240, "gif": 50}  # frames a second; viewers slow down a GIF that is faster
WEBP_SIDE = 16_383  # px
ROW = 16  # pictures in a row of a sheet

Frames = Iterable[np.ndarray]  # uint8 (H, W, C) each, C = 1 or 3, all of one size


def write_video(frames: Frames, path: Path, fps: float = 24, hold: float = 0.0) -> Path:
    """Write ``frames``, uint8 (H, W, C), as what the ending of ``path`` says, and return ``path``.

    .mp4, .gif and .webp are films (the latter two start again for ever); .png and .jpg are one sheet of all frames in
    rows of 16; a name without an ending is a folder, which gets 00000.png, 00001.png, ... The last frame is shown for
    ``hold`` seconds, if that is longer than the others. An MP4 and a folder take the frames one by one and may be
    longer than the memory. The same frames give the same bytes. Raises UsageError or KaoganError.
    """
    kind = kind_of(path)
    if kind in FASTEST:
        check_fps(fps, kind)
    if kind == "mp4":
        _write_mp4(frames, path, fps, hold)
    elif kind in ("gif", "webp"):
        _write_animation(frames, path, kind, fps, hold)
    elif kind:
        pictures = np.stack(list(frames))
        write_picture(grid(pictures, min(len(pictures), ROW), GAP), path)
    else:
        with Writer() as writer:
            for number, frame in enumerate(frames):
                writer.put(frame, path / f"{number:05}.png")
    return path


def kind_of(path: Path) -> str:
    """mp4, gif, webp, png or jpg; "" for a folder. Raises UsageError for an ending that cannot be written."""
    ending = path.suffix.lower().removeprefix(".").replace("jpeg", "jpg")
    if ending in FASTEST or ending in FORMATS:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name a file")
        return ending
    if path.is_file():
        raise UsageError(f"{path} is a file of another kind; name a {_ENDINGS} or a folder")
    if ending.isalnum() and not ending.isdigit() and not path.is_dir():
        raise UsageError(f"cannot write .{ending}: {path}; name a {_ENDINGS} or a folder")
    return ""


_ENDINGS = ".mp4, .gif, .webp, .png, .jpg"


def check_fps(fps: float, kind: str) -> None:
    """Raises UsageError."""
    if not 0.1 <= fps <= FASTEST[kind]:
        raise UsageError(f"the frames a second of a .{kind} must be between 0.1 and {FASTEST[kind]}, not {fps:g}")


def _write_animation(frames: Frames, path: Path, kind: str, fps: float, hold: float) -> None:
    if hold and not isinstance(frames, Sized):
        frames = list(frames)
    last = len(frames) - 1 if hold and isinstance(frames, Sized) else None
    unit = 10 if kind == "gif" else 1  # ms: what a time is a whole number of

    def images() -> Iterator[Image.Image]:
        """Each with its time. Times are rounded as their sums, or a film would be too fast or too slow."""
        for number, frame in enumerate(frames):
            image = _paletted(frame) if kind == "gif" else to_image(frame)
            begins, ends = (unit * round(n * 1000 / fps / unit) for n in (number, number + 1))
            image.info["duration"] = round(1000 * max(hold, 1 / fps)) if number == last else ends - begins
            yield image

    # Pillow takes the frames of a GIF one by one with their times, but wants lists of both for a WebP.
    pictures, options = images(), {}
    if kind == "webp":
        listed = list(pictures)
        pictures, durations = iter(listed), [image.info["duration"] for image in listed]
        options = {"quality": 90, "method": 4, "duration": durations}
    first = next(pictures)
    if kind == "webp" and max(first.size) > WEBP_SIDE:
        raise UsageError(f"a webp cannot hold {first.width} × {first.height} px; ask for less or for another kind")
    with atomic(path) as temporary:
        first.save(temporary, kind.upper(), save_all=True, append_images=pictures, loop=0, **options)


def _paletted(frame: np.ndarray) -> Image.Image:
    """A palette of its own for each frame, and dithering, which Pillow does only when it is given the palette."""
    picture = to_image(frame).convert("RGB")
    return picture.quantize(palette=picture.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)


def _write_mp4(frames: Frames, path: Path, fps: float, hold: float) -> None:
    import av

    if "libx264" not in av.codecs_available:
        raise KaoganError("this build of PyAV has no H.264 encoder; ask for a .gif or .webp")
    held = max(1, round(hold * fps))
    # How x264 divides a film among threads is seen in its bytes, and so is memory that its lookahead reads beyond
    # pictures whose sides are no multiples of 16.
    options = {"crf": "18", "threads": "1", "x264-params": "rc-lookahead=0:mbtree=0"}
    with atomic(path) as temporary, av.open(str(temporary), "w", "mp4", options={"movflags": "faststart"}) as film:
        stream = film.add_stream("libx264", Fraction(fps).limit_denominator(1000), options=options)
        stream.pix_fmt = "yuv420p"
        for number, pixels in enumerate(map(_even, _last_repeated(frames, held))):
            if not number:
                stream.height, stream.width = pixels.shape[:2]
            film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        film.mux(stream.encode(None))


def _even(frame: np.ndarray) -> np.ndarray:
    """RGB of even sides, as halved chroma needs; the edge is repeated, since scaling would blur."""
    height, width, channels = frame.shape
    pixels = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    return np.repeat(pixels, 3, 2) if channels == 1 else pixels


def _last_repeated(frames: Frames, times: int) -> Iterator[np.ndarray]:
    frame = None
    for frame in frames:
        yield frame
    if frame is not None:
        yield from itertools.repeat(frame, times - 1)
