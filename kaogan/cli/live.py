"""``kaogan live``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, progress_bar
from kaogan.cli._explore import EPILOG, draw, open_model
from kaogan.cli._options import Device, Fps, ModelArgument, Out, Resize, Seed, Size, Truncation
from kaogan.core.errors import KaoganError

__all__ = ["EPILOG", "live"]


def live(
    context: typer.Context,
    model: ModelArgument = None,
    out: Out = Path("portrait.webp"),
    face: Annotated[int, typer.Option(metavar="I", help="The face of the seed.")] = 0,
    seconds: Annotated[float, typer.Option(metavar="S", help="Length of the loop, 1 to 120.")] = 6.0,
    span: Annotated[float, typer.Option(metavar="X", help="How far it moves, up to 2.")] = 1.0,
    steps: Annotated[int, typer.Option(metavar="N", help="Steps of the search for its motions.")] = 60,
    fps: Fps = 24,
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    device: Device = "auto",
) -> None:
    """Film a living portrait: one face turns a little, breathes, blinks and moves its mouth, in a seamless loop."""
    from kaogan.generate.explore import point
    from kaogan.generate.explore.motions import find_motions, truncated
    from kaogan.generate.explore.portrait import check_portrait, likeness, portrait
    from kaogan.generate.explore.rendering import RenderOptions, check_tracks, write_tracks

    loaded, attributes = open_model(context, model, device)
    options = RenderOptions(size, resize, 1.0, fps)
    check_tracks(loaded, 1, check_portrait(seconds, fps, span), out, options)
    base = truncated(loaded, point(loaded, seed, face, attributes), truncation)
    with progress_bar("finding motions") as update:
        found = find_motions(loaded, base, steps=steps, progress=update)
    told = ", ".join(
        f"{name} {share:.0%}".replace("%", " %")
        if name in found.offsets
        else f"{name}: this model does not know it ({max(share, 0):.0%})".replace("%", " %")
        for name, share in found.shares.items()
    )
    console.print(escape(told), soft_wrap=True)
    if not found.offsets:
        raise KaoganError("nothing of this face moves in this model; choose another --face or more --steps")
    frames = portrait(found, seconds, fps, span=span, seed=seed)
    draw(write_tracks, loaded, [frames], out, options)
    found_likeness = likeness(loaded, base, frames)
    console.print(
        f"distance of EfficientNet's features from the face as drawn: at most {found_likeness.furthest:.3f}; "
        f"between two faces of this model {found_likeness.between:.3f}",
        soft_wrap=True,
    )
