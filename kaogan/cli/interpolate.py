"""``kaogan interpolate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli.exploring import (
    EPILOG,
    Device,
    Fps,
    Law,
    ModelArgument,
    Out,
    Resize,
    Seed,
    Size,
    Space,
    Truncation,
    opened,
    tell,
)
from kaogan.cli.shared import progress_bar

__all__ = ["EPILOG", "interpolate"]


def interpolate(
    context: typer.Context,
    model: ModelArgument = None,
    out: Out = Path("interpolation.png"),
    first: Annotated[int, typer.Option("--from", metavar="I", help="Start at face I of the seed.")] = 0,
    last: Annotated[int | None, typer.Option("--to", metavar="J", help="End at face J. (the next one)")] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Faces, both ends included. (8; 48 in films)")] = None,
    rows: Annotated[int, typer.Option(metavar="R", help="So many pairs: the next ones of the seed below.")] = 1,
    seed: Seed = 0,
    law: Law = None,
    space: Space = "z",
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    fps: Fps = 24,
    device: Device = "auto",
) -> None:
    """From one face to another, step by step. --hair pink,blue: the first pink, the last blue."""
    from kaogan.latents.output import is_film, write_tracks
    from kaogan.latents.paths import pairs

    loaded, asked = opened(context, model, device, "interpolate runs/dcgan")
    steps = steps if steps is not None else 48 if is_film(out) else 8
    tracks = pairs(loaded, seed, first, first + 1 if last is None else last, steps, rows, law, space, **asked)
    with progress_bar("rendering") as update:
        tell(
            write_tracks(loaded, tracks, out, fps=fps, size=size, resize=resize, truncation=truncation, progress=update)
        )
