"""``kaogan interpolate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._explore import EPILOG, Call, explores
from kaogan.cli._options import Out

__all__ = ["EPILOG", "interpolate"]


@explores("interpolate runs/dcgan", "law", "space", "fps")
def interpolate(
    call: Call,
    out: Out = Path("interpolation.png"),
    first: Annotated[int, typer.Option("--from", metavar="I", help="Start at face I of the seed.")] = 0,
    last: Annotated[int | None, typer.Option("--to", metavar="J", help="End at face J. (the next one)")] = None,
    steps: Annotated[int | None, typer.Option(metavar="N", help="Faces, both ends included. (8; 48 in films)")] = None,
    rows: Annotated[int, typer.Option(metavar="R", help="So many pairs: the next ones of the seed below.")] = 1,
) -> None:
    """From one face to another, step by step. --hair pink,blue: the first pink, the last blue."""
    from kaogan.generate.explore.paths import pairs
    from kaogan.generate.explore.rendering import is_film, write_tracks

    steps = steps if steps is not None else 48 if is_film(out) else 8
    last = first + 1 if last is None else last
    tracks = pairs(call.model, call.seed, first, last, steps, rows, call.law, call.space, **call.attributes)
    call.draw(write_tracks, tracks, out)
