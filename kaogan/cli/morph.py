"""``kaogan morph``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli.exploring import EPILOG, Device, Fps, ModelArgument, Out, Resize, Seed, Size, Truncation, opened, tell
from kaogan.cli.shared import progress_bar

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
        int | None, typer.Option(metavar="T", help="Frames from a value to the next. (1; 12 in films)")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="From the last value on to the first, without a seam.")] = False,
    rows: Annotated[int, typer.Option(metavar="R", help="So many faces along the attribute.")] = 1,
    first: Annotated[int, typer.Option("--from", metavar="I", help="Face I of the seed.")] = 0,
    last: Annotated[
        int | None, typer.Option("--to", metavar="J", help="Without --along: towards face J. (the next)")
    ] = None,
    weights: Annotated[
        str, typer.Option(metavar="A,B", help="Without --along: how much of face J. (0,0.1,...,1)")
    ] = "",
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    fps: Fps = 24,
    device: Device = "auto",
) -> None:
    """One face along an attribute (--along year), or two faces in given shares."""
    from kaogan.errors import UsageError
    from kaogan.latents import morph as run
    from kaogan.latents import morph_along, point, points
    from kaogan.latents.output import is_film, write_tracks

    loaded, asked = opened(context, model, device, "morph runs/acgan --along hair")
    if along is None:
        try:
            shares = [float(word) for word in weights.split(",") if word.strip()] or [step / 10 for step in range(11)]
        except ValueError:
            raise UsageError(f"--weights {weights}: numbers are needed, as in 0,0.5,1") from None
        ends = [point(loaded, seed, number, **asked) for number in (first, first + 1 if last is None else last)]
        tracks = [run(ends[0], ends[1], shares)]
    else:
        steps = steps if steps is not None else 12 if is_film(out) else 1
        chosen = [word.strip() for word in values.split(",") if word.strip()]
        faces = points(loaded, seed, rows, first, **asked)
        tracks = [morph_along(loaded, face, along, chosen, steps, loop) for face in faces]
    with progress_bar("rendering") as update:
        tell(
            write_tracks(loaded, tracks, out, fps=fps, size=size, resize=resize, truncation=truncation, progress=update)
        )
