"""Points as files: one film or sheet of one or several ways through a model, rendered as it is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kaogan.core.errors import UsageError
from kaogan.core.images import grid
from kaogan.generate.explore.latent_point import MOST, Point, check_count, iter_render, render
from kaogan.generate.explore.paths import between
from kaogan.generate.explore.projection import Projection
from kaogan.generate.model import Model, Progress
from kaogan.generate.picture_files import GAP, LARGEST, check_size, enlarge, labelled_grid, write_picture
from kaogan.generate.video import FASTEST, ROW, check_fps, kind_of, write_film

FILM_SIDE = 256  # px that a face has in a film at least, unless another size is asked for


@dataclass(frozen=True)
class Look:
    """How points become pictures. ``size`` is the side of a face in px: by default as the model makes it, in films so
    often repeated that it reaches 256; ``resize`` is as ``enlarge`` takes it, ``truncation`` as ``render`` does, and
    ``fps`` are the frames a second of a film."""

    size: int | None = None
    resize: str = "bicubic"
    truncation: float = 1.0
    fps: float = 24


AS_MADE = Look()


def is_film(path: Path) -> bool:
    """Whether ``write_tracks`` would make a film (or single frames), and not a sheet."""
    return kind_of(path) in ("", *FASTEST)


def check_still(path: Path, what: str) -> None:
    """Raises UsageError, "``what``: name a .png", for a film."""
    if is_film(path):
        raise UsageError(f"{what}: name a .png or .jpg, not {path}")


def write_tracks(
    model: Model, tracks: Sequence[Sequence[Point]], out: Path, look: Look = AS_MADE, progress: Progress | None = None
) -> Path:
    """Write tracks, all of T points, and return ``out``.

    As a film (see ``write_film``) frame t shows the faces t of all tracks; as a sheet each track is a row, one track
    alone has rows of 16. Nothing is rendered before the call is known to be right. Raises UsageError or KaoganError.
    """
    check_count(len(tracks), "tracks")
    check_count(sum(map(len, tracks)), "faces", most=10 * MOST)
    side = face_side(model, look, out)
    if is_film(out):
        across = math.ceil(math.sqrt(len(tracks))) * (side + GAP)
        if across > LARGEST:
            raise UsageError(f"a film of {across} px is wider than {LARGEST}; ask for a smaller size or fewer tiles")
        if kind_of(out):
            check_fps(look.fps, kind_of(out))
        return write_film(iter_frames(model, tracks, look, out, progress), out, look.fps)
    columns = min(len(tracks[0]), ROW) if len(tracks) == 1 else len(tracks[0])
    return write_sheet(model, [each for track in tracks for each in track], columns, out, look, progress)


def write_sheet(
    model: Model, points: Sequence[Point], columns: int, out: Path, look: Look = AS_MADE,
    progress: Progress | None = None,
) -> Path:  # fmt: skip
    """One picture of all ``points``, in rows of ``columns``. Raises UsageError or KaoganError."""
    check_sheet(model, math.ceil(len(points) / columns), columns, out, look)
    return write_picture(grid(_faces(model, points, out, look, progress), columns, GAP), out)


def iter_frames(
    model: Model, tracks: Sequence[Sequence[Point]], look: Look, out: Path, progress: Progress | None = None
) -> Iterator[np.ndarray]:
    """The frames (H, W, C) of tracks: faces themselves for one track, else sheets of them, as square as can be."""
    together, frames = len(tracks), len(tracks[0])
    columns, side = math.ceil(math.sqrt(together)), face_side(model, look, out)
    waiting: list[np.ndarray] = []
    done = 0
    for chunk in iter_render(model, [track[t] for t in range(frames) for track in tracks], look.truncation):
        for face in enlarge(chunk, side, look.resize):
            waiting.append(face)
            if len(waiting) == together:
                yield face if together == 1 else grid(np.stack(waiting), columns, GAP)
                waiting = []
                done += 1
                if progress:
                    progress(done, frames)


def face_side(model: Model, look: Look, out: Path) -> int:
    """The side of a face in px. Raises UsageError."""
    if look.size is not None:
        if not 1 <= look.size <= LARGEST:
            raise UsageError(f"the size must be between 1 and {LARGEST} px, not {look.size}")
        return look.size
    if kind_of(out) in FASTEST:
        return model.image_size * math.ceil(FILM_SIDE / model.image_size)
    return model.image_size


def write_table(
    model: Model, rows: Sequence[Point], columns: Sequence[Point], cells: Sequence[Sequence[Point]], out: Path,
    look: Look = AS_MADE, progress: Progress | None = None,
) -> Path:  # fmt: skip
    """A sheet of ``cells`` with their parents, the column's above and the row's to the left. Raises UsageError."""
    check_sheet(model, len(rows) + 1, len(columns) + 1, out, look)
    every = [*columns, *(each for row, line in zip(rows, cells, strict=True) for each in (row, *line))]
    faces = _faces(model, every, out, look, progress)
    corner = np.full_like(faces[:1], 255)
    return write_picture(grid(np.concatenate([corner, faces]), len(columns) + 1, GAP), out)


def write_labelled(
    model: Model, cells: Sequence[Sequence[Point]], rows: Sequence[str], columns: Sequence[str], out: Path,
    look: Look = AS_MADE, progress: Progress | None = None,
) -> Path:  # fmt: skip
    """A sheet of ``cells`` with names along its upper and left edges. Raises UsageError."""
    check_sheet(model, len(cells), len(cells[0]), out, look)
    faces = _faces(model, [each for line in cells for each in line], out, look, progress)
    return write_picture(labelled_grid(faces, rows, columns), out)


def write_projections(
    model: Model, found: Sequence[Projection], changed: Sequence[Point | None], out: Path, look: Look = AS_MADE,
    progress: Progress | None = None,
) -> Path:  # fmt: skip
    """A row for each picture: itself, what was found and, where it is no None, what was changed. In a film the search
    and then the change run beside the pictures. Raises UsageError or KaoganError."""
    check_projections(model, len(found), any(changed), out, look)
    side = face_side(model, look, out)
    rows: list[list[np.ndarray]] = []  # of each picture: itself, and what comes beside it, frame by frame
    for number, (each, end) in enumerate(zip(found, changed, strict=True)):
        ways = [] if end is None else [between(each.point, end, step / 12, "linear") for step in range(1, 13)]
        after = render(model, ways)
        held = each.film[-1:].repeat(round(look.fps) if len(after) else 0, 0)
        beside = np.concatenate([each.film, held, after] if is_film(out) else [each.film[-1:], after[-1:]])
        rows.append([*enlarge(np.concatenate([each.target[None], beside]), side, look.resize)])
        if progress:
            progress(number + 1, len(found))
    if not is_film(out):
        return write_picture(grid(np.stack([face for row in rows for face in row]), len(rows[0]), GAP), out)
    frames = (
        grid(np.stack([face for row in rows for face in (row[0], row[time])]), 2, GAP)
        for time in range(1, len(rows[0]))
    )
    return write_film(frames, out, look.fps, hold=1.5)


def check_projections(model: Model, count: int, changed: bool, out: Path, look: Look) -> None:
    """Whether so many projections can be written to ``out``. Raises UsageError."""
    if not is_film(out):
        check_sheet(model, count, 3 if changed else 2, out, look)
        return
    if kind_of(out):
        check_fps(look.fps, kind_of(out))
    height = count * (face_side(model, look, out) + GAP)
    if height > LARGEST:
        raise UsageError(f"a film of {height} px is higher than {LARGEST}; ask for a smaller size or a sheet, .png")


def check_sheet(model: Model, rows: int, columns: int, out: Path, look: Look) -> None:
    """Whether a sheet of so many faces can be written. Raises UsageError."""
    step = face_side(model, look, out) + GAP
    check_size(rows * step + GAP, columns * step + GAP, kind_of(out))


def _faces(model: Model, points: Sequence[Point], out: Path, look: Look, progress: Progress | None) -> np.ndarray:
    side, parts, done = face_side(model, look, out), [], 0
    for part in iter_render(model, points, look.truncation):
        parts.append(enlarge(part, side, look.resize))
        done += len(part)
        if progress:
            progress(done, len(points))
    return np.concatenate(parts)
