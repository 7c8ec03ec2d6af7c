"""``kaogan explore interpolate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._explore import EPILOG, draw, open_model
from kaogan.cli._options import Device, Fps, Interpolation, ModelArgument, Out, Resize, Seed, Size, Space, Truncation

__all__ = ["EPILOG", "interpolate"]


def interpolate(
    context: typer.Context,
    model: ModelArgument = None,
    out: Out = Path("interpolation.png"),
    first: Annotated[int, typer.Option("--from", metavar="I", help="Start at face I of the seed.")] = 0,
    last: Annotated[int | None, typer.Option("--to", metavar="J", help="End at face J. (the next one)")] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Number of faces, both ends included. (8; 48 in films)")
    ] = None,
    rows: Annotated[int, typer.Option(metavar="R", help="Number of pairs, each of later faces of the seed.")] = 1,
    interpolation: Interpolation = None,
    space: Space = "z",
    fps: Fps = 24,
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    device: Device = "auto",
) -> None:
    """Interpolate between two faces. --hair pink,blue: the first is pink, the last blue."""
    from kaogan.generate.explore.paths import pairs
    from kaogan.generate.explore.rendering import RenderOptions, is_film, write_tracks

    loaded, attributes = open_model(context, model, device)
    steps = steps if steps is not None else 48 if is_film(out) else 8
    last = first + 1 if last is None else last
    tracks = pairs(loaded, seed, first, last, steps, rows, interpolation, space, attributes)
    draw(write_tracks, loaded, tracks, out, RenderOptions(size, resize, truncation, fps))
