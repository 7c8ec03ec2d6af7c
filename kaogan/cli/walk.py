"""``kaogan walk``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli.exploring import (
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

EPILOG = "--hair pink keeps the hair; --hair pink,blue,... names that of each of the faces on the way."


def walk(
    context: typer.Context,
    model: ModelArgument = None,
    out: Out = Path("walk.mp4"),
    faces: Annotated[int, typer.Option(metavar="N", help="Faces to pass.")] = 8,
    steps: Annotated[int, typer.Option(metavar="T", help="Frames from one to the next.")] = 24,
    loop: Annotated[bool, typer.Option("--loop", help="Come back to the first face, without a seam.")] = False,
    tiles: Annotated[int, typer.Option(metavar="M", help="So many walks at once, side by side.")] = 1,
    seed: Seed = 0,
    law: Law = None,
    space: Space = "z",
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    fps: Fps = 24,
    device: Device = "auto",
) -> None:
    """A film from face to face."""
    from kaogan.latents.output import write_tracks
    from kaogan.latents.paths import walks

    loaded, asked = opened(context, model, device, "walk runs/dcgan --out walk.mp4")
    tracks = walks(loaded, seed, faces, steps, loop, tiles, law, space, **asked)
    with progress_bar("rendering") as update:
        tell(
            write_tracks(loaded, tracks, out, fps=fps, size=size, resize=resize, truncation=truncation, progress=update)
        )
