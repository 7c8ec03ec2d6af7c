"""Face detection over files, folders and zips: crops, boxes and drawings."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from kaogan.aux_models.face_detector.boxes import Face, crop
from kaogan.aux_models.face_detector.detector import Detector
from kaogan.core.atomic_io import atomic, explain, write_text
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.paths import looking_at
from kaogan.core.progress import Progress
from kaogan.data.decoding import BrokenPicture, read_picture
from kaogan.data.sources import SUFFIXES, Source, open_source

COLUMNS = (
    "file",
    "x",
    "y",
    "width",
    "height",
    "score",
    "left_eye_x",
    "left_eye_y",
    "right_eye_x",
    "right_eye_y",
    "crop",
)


UNFINISHED = ".kaogan-faces"  # stands in a folder while it is filled

_Picture = tuple[str, Path | Callable[[], bytes | Path], int]
"""name, path or reader, number of pictures of its source"""


@dataclass(frozen=True)
class CropOptions:
    """What to write and how to cut: see the options of ``kaogan faces``."""

    margin: float = 0.25
    square: bool = True
    upright: bool = False
    smallest: float = 32
    threshold: float | None = None
    draw: bool = False


@dataclass
class Summary:
    pictures: int = 0
    faces: int = 0
    without: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def find_faces(
    paths: Sequence[Path],
    detector: Detector,
    options: CropOptions,
    out: Path | None = None,
    found: Callable[[str, list[Face]], None] | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Find the faces of picture files, folders and zips; tell each picture's to ``found``.

    With ``out``, writes ``crops/000001-1.png`` (number of the picture, number of the face), ``boxes.csv`` (COLUMNS, in
    pixels) and with ``options.draw`` ``drawn/000001.jpg``. What was done until an interruption stays, with its rows;
    after a kill, which leaves no rows, the next search in the folder begins anew.
    Raises UsageError for a path that is none of these, for options out of their range and for an ``out`` that is not
    empty, KaoganError when no picture could be read.
    """
    _check(detector, options)
    summary = Summary()
    with ExitStack() as stack:
        sources = [path if _is_picture(path) else stack.enter_context(open_source(path)) for path in paths]
        if out is not None:
            _claim(out)
        _search(_pictures(paths, sources, summary), summary, detector, options, out, found, progress)
    if not summary.pictures:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in summary.skipped[:3])
        raise KaoganError(f"no picture could be read ({reasons or 'none there'})")
    return summary


def _check(detector: Detector, options: CropOptions) -> None:
    """Raise UsageError for options that the first picture, or only the first face, would refuse."""
    if options.upright and not options.square:
        raise UsageError("--upright turns square crops only; leave out --no-square")
    blank = np.zeros((8, 8, 3), np.uint8)
    detector.find(blank, options.smallest, options.threshold)
    crop(blank, Face(0, 0, 8, 8, 1.0), options.margin)


def _search(
    pictures: Iterable[_Picture],
    summary: Summary,
    detector: Detector,
    options: CropOptions,
    out: Path | None,
    found: Callable[[str, list[Face]], None] | None,
    progress: Progress | None,
) -> None:
    """Find, tell and write; what was done of it is in ``summary`` and in the table, however it ends."""
    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(COLUMNS)
    try:
        for number, (name, data, total) in enumerate(pictures, 1):
            try:
                picture = np.asarray(read_picture(data() if callable(data) else data))
            except BrokenPicture as broken:
                summary.skipped.append((name, broken.reason))
                continue
            faces = detector.find(picture, options.smallest, options.threshold)
            summary.pictures += 1
            summary.faces += len(faces)
            if not faces:
                summary.without.append(name)
            if found:
                found(name, faces)
            if out is not None:
                table.writerows(_written(picture, name, number, faces, options, out))
            if progress:
                progress(number, total, "finding faces")
    finally:
        if out is not None:
            if summary.pictures:  # else the folder stays free for the command with other pictures
                write_text(out / "boxes.csv", rows.getvalue())
            (out / UNFINISHED).unlink(missing_ok=True)


def drawn(picture: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    """A copy of uint8 (H, W, 3) with the boxes, scores and eyes in it."""
    canvas = np.ascontiguousarray(picture).copy()
    thick = max(1, round(min(canvas.shape[:2]) / 250))
    for face in faces:
        corner, other = (round(face.x), round(face.y)), (round(face.x + face.width), round(face.y + face.height))
        cv2.rectangle(canvas, corner, other, (255, 0, 60), thick, cv2.LINE_AA)
        place = (corner[0], max(12 * thick, corner[1] - 3))
        cv2.putText(canvas, f"{face.score:.2f}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.4 * thick, (255, 0, 60), thick)
        for x, y in face.landmarks or ():
            cv2.circle(canvas, (round(x), round(y)), 2 * thick, (0, 220, 90), -1, cv2.LINE_AA)
    return canvas


def _claim(out: Path) -> None:
    try:
        unfinished = (out / UNFINISHED).is_file()  # of a killed search, which has no table yet
        if out.exists() and not unfinished and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"{out} already holds something; choose a new or an empty folder for the faces")
        for part in ("crops", "drawn") if unfinished else ():
            shutil.rmtree(out / part, ignore_errors=True)
        out.mkdir(parents=True, exist_ok=True)
        (out / UNFINISHED).touch()
    except OSError as error:
        raise explain(error, out) from error


def _is_picture(path: Path) -> bool:
    with looking_at(path):
        return path.is_file() and path.suffix.lower() in SUFFIXES


def _pictures(paths: Sequence[Path], sources: Sequence[Path | Source], summary: Summary) -> Iterator[_Picture]:
    for path, source in zip(paths, sources, strict=True):
        if isinstance(source, Path):
            yield str(path), path, len(paths)
            continue
        summary.skipped += source.listing.skipped
        for index, entry in enumerate(source.listing.entries):
            name = entry.name if len(paths) == 1 else f"{path.name}/{entry.name}"
            yield name, partial(source.read, index), len(source.listing.entries)


def _written(
    picture: np.ndarray, name: str, number: int, faces: Sequence[Face], options: CropOptions, out: Path
) -> Iterator[tuple[object, ...]]:
    for count, face in enumerate(faces, 1):
        file = f"crops/{number:06d}-{count}.png"
        cut = crop(picture, face, options.margin, options.square, options.upright)
        with atomic(out / file) as temporary:
            Image.fromarray(cut).save(temporary)
        eyes = [round(value, 1) for eye in face.landmarks for value in eye] if face.landmarks else [""] * 4
        box = [round(value, 1) for value in (face.x, face.y, face.width, face.height)]
        yield (name, *box, round(face.score, 4), *eyes, file)
    if options.draw:
        with atomic(out / "drawn" / f"{number:06d}.jpg") as temporary:
            Image.fromarray(drawn(picture, faces)).save(temporary, quality=90)
