"""``kaogan explore morph``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._console import refuse_unused
from kaogan.cli._explore import EPILOG, draw, open_model
from kaogan.cli._options import Device, Fps, ModelArgument, Out, Resize, Seed, Size, Truncation, split_list
from kaogan.core.errors import UsageError

__all__ = ["EPILOG", "morph"]


def morph(
    context: typer.Context,
    model: ModelArgument = None,
    out: Out = Path("morph.png"),
    along: Annotated[
        str | None, typer.Option(metavar="A", help="An attribute: one face through all its values.")
    ] = None,
    values: Annotated[str, typer.Option(metavar="A,B", help="Only these values, in this order.")] = "",
    steps: Annotated[
        int | None, typer.Option(metavar="T", help="Frames from one value to the next. (1; 12 in films)")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Return to the first value, so that the film repeats.")] = False,
    rows: Annotated[
        int | None, typer.Option(metavar="R", help="Number of faces morphed along the attribute. (1)")
    ] = None,
    first: Annotated[int, typer.Option("--from", metavar="I", help="Face I of the seed.")] = 0,
    last: Annotated[
        int | None, typer.Option("--to", metavar="J", help="Without --along: the second face. (the next one)")
    ] = None,
    weights: Annotated[
        str, typer.Option(metavar="A,B", help="Without --along: shares of the second face. (0,0.1,...,1)")
    ] = "",
    fps: Fps = 24,
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    device: Device = "auto",
) -> None:
    """Morph one face along an attribute (--along year), or blend two faces by given weights."""
    from kaogan.generate.explore import morph as blend
    from kaogan.generate.explore import morph_along, point, points
    from kaogan.generate.explore.rendering import RenderOptions, is_film, write_tracks

    if along is None:
        refuse_unused("goes with --along", values=values or None, steps=steps, loop=loop or None, rows=rows)
    else:
        refuse_unused("goes without --along", to=last, weights=weights or None)
    loaded, attributes = open_model(context, model, device)
    if along is None:
        numbers = (first, first + 1 if last is None else last)
        start, end = (point(loaded, seed, number, attributes) for number in numbers)
        tracks = [blend(start, end, _parse_weights(weights))]
    else:
        steps = steps if steps is not None else 12 if is_film(out) else 1
        faces = points(loaded, seed, 1 if rows is None else rows, first, attributes)
        tracks = [morph_along(loaded, face, along, split_list(values), steps, loop) for face in faces]
    draw(write_tracks, loaded, tracks, out, RenderOptions(size, resize, truncation, fps))


def _parse_weights(text: str) -> list[float]:
    try:
        return [float(word) for word in split_list(text)] or [step / 10 for step in range(11)]
    except ValueError:
        raise UsageError(f"--weights {text}: give numbers, such as 0,0.5,1") from None
