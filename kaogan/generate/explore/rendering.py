"""Rendering of latent points to files: films and sheets, rendered while they are written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kaogan.core.errors import UsageError
from kaogan.core.images import grid
from kaogan.core.picture_files import GAP, LARGEST, check_size, enlarge, labelled_grid, write_picture
from kaogan.core.progress import Progress, no_progress
from kaogan.generate.explore.latent_point import MAX_POINTS, LatentPoint, check_count, iter_render, render
from kaogan.generate.explore.paths import between
from kaogan.generate.explore.projection import Projection
from kaogan.generate.model import Model
from kaogan.generate.video import FASTEST, ROW, check_fps, kind_of, write_video

FILM_SIDE = 256  # px: default minimum side of a face in a film


@dataclass(frozen=True)
class RenderOptions:
    """How points are rendered. ``size`` is the side of a face in px (default: the model's; in films the smallest
    multiple that reaches 256), ``resize`` the method of ``enlarge``, ``truncation`` that of ``render``, ``fps`` the
    frame rate of a film."""

    size: int | None = None
    resize: str = "bicubic"
    truncation: float = 1.0
    fps: float = 24


DEFAULT_OPTIONS = RenderOptions()


def is_film(path: Path) -> bool:
    """Whether ``write_tracks`` would write a film (or single frames) rather than a sheet."""
    return kind_of(path) in ("", *FASTEST)


def check_still(path: Path, what: str) -> None:
    """Raise UsageError, "``what``: name a .png", for a film."""
    if is_film(path):
        raise UsageError(f"{what}: name a .png or .jpg, not {path}")


def write_tracks(
    model: Model,
    tracks: Sequence[Sequence[LatentPoint]],
    out: Path,
    options: RenderOptions = DEFAULT_OPTIONS,
    progress: Progress = no_progress,
) -> Path:
    """Write tracks of T points each, and return ``out``.

    In a film (see ``write_video``), frame t shows point t of every track; in a sheet each track is a row (a single
    track is broken into rows of 16). All arguments are checked before rendering. Raises UsageError or KaoganError.
    """
    check_tracks(model, len(tracks), sum(map(len, tracks)), out, options)
    if is_film(out):
        return write_video(iter_frames(model, tracks, options, out, progress), out, options.fps)
    columns = min(len(tracks[0]), ROW) if len(tracks) == 1 else len(tracks[0])
    return write_sheet(model, [each for track in tracks for each in track], columns, out, options, progress)


def check_tracks(model: Model, tracks: int, faces: int, out: Path, options: RenderOptions) -> None:
    """Raise UsageError if so many faces in so many tracks cannot be written to ``out``."""
    check_count(tracks, "tracks")
    check_count(faces, "faces", maximum=10 * MAX_POINTS)
    side = face_side(model, options, out)
    if not is_film(out):
        columns = min(faces, ROW) if tracks == 1 else faces // tracks
        check_sheet(model, math.ceil(faces / columns), columns, out, options)
        return
    across = math.ceil(math.sqrt(tracks)) * (side + GAP)
    if across > LARGEST:
        raise UsageError(f"a film of {across} px is wider than {LARGEST}; choose a smaller --size or fewer --tiles")
    if kind_of(out):
        check_fps(options.fps, kind_of(out))


def write_sheet(
    model: Model, points: Sequence[LatentPoint], columns: int, out: Path, options: RenderOptions = DEFAULT_OPTIONS,
    progress: Progress = no_progress,
) -> Path:  # fmt: skip
    """Write one picture of all ``points``, in rows of ``columns``. Raises UsageError or KaoganError."""
    check_sheet(model, math.ceil(len(points) / columns), columns, out, options)
    return write_picture(grid(_faces(model, points, out, options, progress), columns, GAP), out)


def iter_frames(
    model: Model,
    tracks: Sequence[Sequence[LatentPoint]],
    options: RenderOptions,
    out: Path,
    progress: Progress = no_progress,
) -> Iterator[np.ndarray]:
    """The frames (H, W, C) of tracks: single faces for one track, near-square grids for several."""
    together, frames = len(tracks), len(tracks[0])
    columns, side = math.ceil(math.sqrt(together)), face_side(model, options, out)
    waiting: list[np.ndarray] = []
    done = 0
    for chunk in iter_render(model, [track[t] for t in range(frames) for track in tracks], options.truncation):
        for face in enlarge(chunk, side, options.resize):
            waiting.append(face)
            if len(waiting) == together:
                yield face if together == 1 else grid(np.stack(waiting), columns, GAP)
                waiting = []
                done += 1
                progress(done, frames, "rendering")


def face_side(model: Model, options: RenderOptions, out: Path) -> int:
    """The side of a rendered face in px. Raises UsageError."""
    if options.size is not None:
        if not 1 <= options.size <= LARGEST:
            raise UsageError(f"the size must be between 1 and {LARGEST} px, not {options.size}")
        return options.size
    if kind_of(out) in FASTEST:
        return model.image_size * math.ceil(FILM_SIDE / model.image_size)
    return model.image_size


def write_table(
    model: Model,
    rows: Sequence[LatentPoint],
    columns: Sequence[LatentPoint],
    cells: Sequence[Sequence[LatentPoint]],
    out: Path,
    options: RenderOptions = DEFAULT_OPTIONS,
    progress: Progress = no_progress,
) -> Path:
    """Write a sheet of ``cells`` with the column faces above and the row faces to the left. Raises UsageError."""
    check_sheet(model, len(rows) + 1, len(columns) + 1, out, options)
    every = [*columns, *(each for row, line in zip(rows, cells, strict=True) for each in (row, *line))]
    faces = _faces(model, every, out, options, progress)
    corner = np.full_like(faces[:1], 255)
    return write_picture(grid(np.concatenate([corner, faces]), len(columns) + 1, GAP), out)


def write_labelled(
    model: Model, cells: Sequence[Sequence[LatentPoint]], rows: Sequence[str], columns: Sequence[str], out: Path,
    options: RenderOptions = DEFAULT_OPTIONS, progress: Progress = no_progress,
) -> Path:  # fmt: skip
    """Write a sheet of ``cells`` with names of the rows and columns. Raises UsageError."""
    check_sheet(model, len(cells), len(cells[0]), out, options)
    faces = _faces(model, [each for line in cells for each in line], out, options, progress)
    return write_picture(labelled_grid(faces, rows, columns), out)


def write_projections(
    model: Model,
    found: Sequence[Projection],
    changed: Sequence[LatentPoint | None],
    out: Path,
    options: RenderOptions = DEFAULT_OPTIONS,
    progress: Progress = no_progress,
) -> Path:
    """Write a row for each picture: the picture, its projection and, unless None, the changed face. A film shows the
    search and then the change beside the picture. Raises UsageError or KaoganError."""
    check_projections(model, len(found), any(changed), out, options)
    side = face_side(model, options, out)
    rows: list[list[np.ndarray]] = []  # per picture: the picture, then the frames beside it
    for number, (each, end) in enumerate(zip(found, changed, strict=True)):
        path = [] if end is None else [between(each.point, end, step / 12, "linear") for step in range(1, 13)]
        after = render(model, path)
        held = each.film[-1:].repeat(round(options.fps) if len(after) else 0, 0)
        beside = np.concatenate([each.film, held, after] if is_film(out) else [each.film[-1:], after[-1:]])
        rows.append([*enlarge(np.concatenate([each.target[None], beside]), side, options.resize)])
        progress(number + 1, len(found), "rendering")
    if not is_film(out):
        return write_picture(grid(np.stack([face for row in rows for face in row]), len(rows[0]), GAP), out)
    frames = (
        grid(np.stack([face for row in rows for face in (row[0], row[time])]), 2, GAP)
        for time in range(1, len(rows[0]))
    )
    return write_video(frames, out, options.fps, hold=1.5)


def check_projections(model: Model, count: int, changed: bool, out: Path, options: RenderOptions) -> None:
    """Raise UsageError if ``count`` projections cannot be written to ``out``."""
    if not is_film(out):
        check_sheet(model, count, 3 if changed else 2, out, options)
        return
    if kind_of(out):
        check_fps(options.fps, kind_of(out))
    height = count * (face_side(model, options, out) + GAP)
    if height > LARGEST:
        raise UsageError(f"a film of {height} px is higher than {LARGEST}; choose a smaller --size or a sheet (.png)")


def check_sheet(model: Model, rows: int, columns: int, out: Path, options: RenderOptions) -> None:
    """Raise UsageError if a sheet of so many faces would be too large."""
    step = face_side(model, options, out) + GAP
    check_size(rows * step + GAP, columns * step + GAP, kind_of(out))


def _faces(
    model: Model, points: Sequence[LatentPoint], out: Path, options: RenderOptions, progress: Progress
) -> np.ndarray:
    side, parts, done = face_side(model, options, out), [], 0
    for part in iter_render(model, points, options.truncation):
        parts.append(enlarge(part, side, options.resize))
        done += len(part)
        progress(done, len(points), "rendering")
    return np.concatenate(parts)
