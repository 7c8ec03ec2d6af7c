"""``kaogan morph``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._explore import EPILOG, Call, explores
from kaogan.cli._options import Out, listed
from kaogan.core.errors import UsageError

__all__ = ["EPILOG", "morph"]


@explores("morph runs/acgan --along hair", "fps")
def morph(
    call: Call,
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
) -> None:
    """One face along an attribute (--along year), or two faces in given shares."""
    from kaogan.generate.explore import morph as run
    from kaogan.generate.explore import morph_along, point, points
    from kaogan.generate.explore.rendering import is_film, write_tracks

    if along is None:
        ends = [
            point(call.model, call.seed, number, **call.attributes)
            for number in (first, first + 1 if last is None else last)
        ]
        tracks = [run(ends[0], ends[1], _shares(weights))]
    else:
        steps = steps if steps is not None else 12 if is_film(out) else 1
        faces = points(call.model, call.seed, rows, first, **call.attributes)
        tracks = [morph_along(call.model, face, along, listed(values), steps, loop) for face in faces]
    call.draw(write_tracks, tracks, out)


def _shares(words: str) -> list[float]:
    try:
        return [float(word) for word in listed(words)] or [step / 10 for step in range(11)]
    except ValueError:
        raise UsageError(f"--weights {words}: numbers are needed, as in 0,0.5,1") from None
