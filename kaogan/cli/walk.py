"""``kaogan explore walk``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._explore import draw, open_model
from kaogan.cli._options import Device, Fps, Interpolation, ModelArgument, Out, Resize, Seed, Size, Space, Truncation

EPILOG = "--hair pink keeps the hair pink; --hair pink,blue,... sets it for each face of the walk."


def walk(
    context: typer.Context,
    model: ModelArgument = None,
    out: Out = Path("walk.mp4"),
    faces: Annotated[int, typer.Option(metavar="N", help="Number of faces on the path.")] = 8,
    steps: Annotated[int, typer.Option(metavar="T", help="Frames from one face to the next.")] = 24,
    loop: Annotated[bool, typer.Option("--loop", help="Return to the first face, so that the film repeats.")] = False,
    tiles: Annotated[int, typer.Option(metavar="M", help="Number of walks shown side by side.")] = 1,
    interpolation: Interpolation = None,
    space: Space = "z",
    fps: Fps = 24,
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    device: Device = "auto",
) -> None:
    """Film a walk from face to face."""
    from kaogan.generate.explore.paths import walks
    from kaogan.generate.explore.rendering import RenderOptions, write_tracks

    loaded, attributes = open_model(context, model, device)
    tracks = walks(loaded, seed, faces, steps, loop, tiles, interpolation, space, attributes)
    draw(write_tracks, loaded, tracks, out, RenderOptions(size, resize, truncation, fps))
