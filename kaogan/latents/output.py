"""Points as files: one film or sheet of one or several ways through a model, rendered as it is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kaogan.errors import UsageError
from kaogan.images import grid
from kaogan.latents.paths import between
from kaogan.latents.points import MOST, Point, check_count, iter_render, render
from kaogan.latents.projection import Projection
from kaogan.sampling.film import FASTEST, ROW, check_fps, kind_of, write_film
from kaogan.sampling.model import Model, Progress
from kaogan.sampling.pictures import GAP, LARGEST, check_size, enlarge, labelled_grid, write_picture

FILM_SIDE = 256  # px that a face has in a film at least, unless another size is asked for


def is_film(path: Path) -> bool:
    """Whether ``write_tracks`` would make a film (or single frames), and not a sheet."""
    return kind_of(path) in ("", *FASTEST)


def write_tracks(
    model: Model, tracks: Sequence[Sequence[Point]], out: Path, *, fps: float = 24, size: int | None = None,
    resize: str = "bicubic", truncation: float = 1.0, progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Write tracks, all of T points, and return ``out``.

    As a film (see ``write_film``) frame t shows the faces t of all tracks; as a sheet each track is a row, one track
    alone has rows of 16. ``size`` is the side of a face in px: by default as the model makes it, in films so often
    repeated that it reaches 256. Nothing is rendered before the call is known to be right. Raises UsageError or
    KaoganError.
    """
    check_count(len(tracks), "tracks")
    check_count(sum(map(len, tracks)), "faces", most=10 * MOST)
    side, film = face_side(model, size, out), is_film(out)
    if film:
        across = math.ceil(math.sqrt(len(tracks))) * (side + GAP)
        if across > LARGEST:
            raise UsageError(f"a film of {across} px is wider than {LARGEST}; ask for a smaller size or fewer tiles")
        if kind_of(out):
            check_fps(fps, kind_of(out))
        return write_film(iter_frames(model, tracks, side, resize, truncation, progress), out, fps)
    return write_sheet(
        model, [each for track in tracks for each in track], out, min(len(tracks[0]), ROW) if len(tracks) == 1 else
        len(tracks[0]), size=side, resize=resize, truncation=truncation, progress=progress,
    )  # fmt: skip


def write_sheet(
    model: Model, points: Sequence[Point], out: Path, columns: int, *, size: int | None = None,
    resize: str = "bicubic", truncation: float = 1.0, progress: Progress | None = None,
) -> Path:  # fmt: skip
    """One picture of all ``points``, in rows of ``columns``. Raises UsageError or KaoganError."""
    side = size or model.image_size
    step = side + GAP
    check_size(math.ceil(len(points) / columns) * step + GAP, columns * step + GAP, kind_of(out))
    faces = np.concatenate([enlarge(part, side, resize) for part in _counted(model, points, truncation, progress)])
    return write_picture(grid(faces, columns, GAP), out)


def iter_frames(
    model: Model, tracks: Sequence[Sequence[Point]], side: int, resize: str = "bicubic", truncation: float = 1.0,
    progress: Progress | None = None,
) -> Iterator[np.ndarray]:  # fmt: skip
    """The frames (H, W, C) of tracks: faces themselves for one track, else sheets of them, as square as can be."""
    together, frames = len(tracks), len(tracks[0])
    columns = math.ceil(math.sqrt(together))
    waiting: list[np.ndarray] = []
    done = 0
    for chunk in iter_render(model, [track[t] for t in range(frames) for track in tracks], truncation):
        for face in enlarge(chunk, side, resize):
            waiting.append(face)
            if len(waiting) == together:
                yield face if together == 1 else grid(np.stack(waiting), columns, GAP)
                waiting = []
                done += 1
                if progress:
                    progress(done, frames)


def face_side(model: Model, size: int | None, out: Path) -> int:
    """The side of a face in px. Raises UsageError."""
    if size is not None:
        if not 1 <= size <= LARGEST:
            raise UsageError(f"the size must be between 1 and {LARGEST} px, not {size}")
        return size
    if kind_of(out) in FASTEST:
        return model.image_size * math.ceil(FILM_SIDE / model.image_size)
    return model.image_size


def write_table(
    model: Model, rows: Sequence[Point], columns: Sequence[Point], cells: Sequence[Sequence[Point]], out: Path, *,
    size: int | None = None, resize: str = "bicubic", truncation: float = 1.0, progress: Progress | None = None,
) -> Path:  # fmt: skip
    """A sheet of ``cells`` with their parents, the column's above and the row's to the left. Raises UsageError."""
    side = size or model.image_size
    step = side + GAP
    check_size((len(rows) + 1) * step + GAP, (len(columns) + 1) * step + GAP, kind_of(out))
    every = [*columns, *(each for row, line in zip(rows, cells, strict=True) for each in (row, *line))]
    faces = np.concatenate([enlarge(part, side, resize) for part in _counted(model, every, truncation, progress)])
    corner = np.full_like(faces[:1], 255)
    return write_picture(grid(np.concatenate([corner, faces]), len(columns) + 1, GAP), out)


def write_labelled(
    model: Model, cells: Sequence[Sequence[Point]], rows: Sequence[str], columns: Sequence[str], out: Path, *,
    size: int | None = None, resize: str = "bicubic", truncation: float = 1.0, progress: Progress | None = None,
) -> Path:  # fmt: skip
    """A sheet of ``cells`` with names along its upper and left edges. Raises UsageError."""
    side = size or model.image_size
    step = side + GAP
    check_size(len(cells) * step + GAP, len(cells[0]) * step + GAP, kind_of(out))
    every = [each for line in cells for each in line]
    faces = np.concatenate([enlarge(part, side, resize) for part in _counted(model, every, truncation, progress)])
    return write_picture(labelled_grid(faces, rows, columns), out)


def write_projection(
    model: Model, found: Projection, changed: Point | None, out: Path, *, fps: float = 12, size: int | None = None,
    resize: str = "bicubic",
) -> Path:  # fmt: skip
    """The picture, what was found and what was changed, side by side; as a film the search and then the change beside
    the picture. Raises UsageError or KaoganError."""
    side = face_side(model, size, out)
    way = [] if changed is None else [between(found.point, changed, step / 12, "linear") for step in range(1, 13)]
    after = render(model, way)
    if not is_film(out):
        faces = np.stack([found.target, found.film[-1], *after[-1:]])
        return write_picture(grid(enlarge(faces, side, resize), len(faces), GAP), out)
    left = enlarge(found.target[None], side, resize)
    held = found.film[-1:].repeat(round(fps) if len(after) else 0, 0)
    right = enlarge(np.concatenate([found.film, held, after]), side, resize)
    return write_film([grid(np.concatenate([left, face[None]]), 2, GAP) for face in right], out, fps, hold=1.5)


def _counted(
    model: Model, points: Sequence[Point], truncation: float, progress: Progress | None
) -> Iterator[np.ndarray]:  # fmt: skip
    done = 0
    for part in iter_render(model, points, truncation):
        done += len(part)
        yield part
        if progress:
            progress(done, len(points))
