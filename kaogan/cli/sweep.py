"""``kaogan sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._explore import Call, explores
from kaogan.cli._options import Out

EPILOG = (
    "An axis is a number (a component of z; -1 is the last), hair=pink (the code, where 1 is all of it), or a name out "
    "of a file that kaogan directions wrote."
)


@explores("sweep runs/dcgan", "fps")
def sweep(
    call: Call,
    out: Out = Path("sweep.png"),
    across: Annotated[str, typer.Option(metavar="AXIS", help="From left to right.")] = "0",
    down: Annotated[str | None, typer.Option(metavar="AXIS", help="From top to bottom; none: a strip. (-1)")] = None,
    steps: Annotated[
        int, typer.Option(metavar="N", help="Faces along an axis; of an odd number the middle is the face.")
    ] = 11,
    span: Annotated[float, typer.Option(metavar="X", help="From -X to X.")] = 1.0,
    absolute: Annotated[
        bool, typer.Option("--absolute", help="Components become -X to X, whatever they were.")
    ] = False,
    directions: Annotated[Path | None, typer.Option(metavar="FILE", help="Directions, for their names.")] = None,
    face: Annotated[int, typer.Option(metavar="I", help="Face I of the seed.")] = 0,
) -> None:
    """One face under two sliders: a grid of all their settings."""
    from kaogan.generate.explore import load_directions, move_of, point
    from kaogan.generate.explore import sweep as run
    from kaogan.generate.explore.rendering import write_tracks

    known = load_directions(directions) if directions else None
    base = point(call.model, call.seed, face, **call.attributes)
    if known:
        (base,) = known.prepare(call.model, [base])
    vertical = "-1" if down is None and across.removeprefix("-").isdigit() else down
    moves = [
        None if word in (None, "none") else move_of(call.model, word, known, absolute) for word in (across, vertical)
    ]
    rows = run(base, moves[0] or (lambda point, strength: point), moves[1], steps, span)
    call.draw(write_tracks, rows, out)
