"""``kaogan walk``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._explore import Call, explores
from kaogan.cli._options import Out

EPILOG = "--hair pink keeps the hair; --hair pink,blue,... names that of each of the faces on the way."


@explores("walk runs/dcgan --out walk.mp4", "law", "space", "fps")
def walk(
    call: Call,
    out: Out = Path("walk.mp4"),
    faces: Annotated[int, typer.Option(metavar="N", help="Faces to pass.")] = 8,
    steps: Annotated[int, typer.Option(metavar="T", help="Frames from one to the next.")] = 24,
    loop: Annotated[bool, typer.Option("--loop", help="Come back to the first face, without a seam.")] = False,
    tiles: Annotated[int, typer.Option(metavar="M", help="So many walks at once, side by side.")] = 1,
) -> None:
    """A film from face to face."""
    from kaogan.generate.explore.paths import walks
    from kaogan.generate.explore.rendering import write_tracks

    tracks = walks(call.model, call.seed, faces, steps, loop, tiles, call.law, call.space, **call.attributes)
    call.draw(write_tracks, tracks, out)
