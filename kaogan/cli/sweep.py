"""``kaogan explore sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._explore import draw, open_model
from kaogan.cli._options import Device, Fps, ModelArgument, Out, Resize, Seed, Size, Truncation

EPILOG = (
    "An axis is a component of z by number (-1 is the last), an attribute value such as hair=pink (strength 1 is the "
    "value itself), or a name from a file of 'kaogan explore directions'."
)


def sweep(
    context: typer.Context,
    model: ModelArgument = None,
    out: Out = Path("sweep.png"),
    across: Annotated[str, typer.Option(metavar="AXIS", help="From left to right.")] = "0",
    down: Annotated[
        str | None, typer.Option(metavar="AXIS", help="From top to bottom; none: a single row. (-1)")
    ] = None,
    steps: Annotated[
        int, typer.Option(metavar="N", help="Faces along an axis; with an odd number the face itself is the middle.")
    ] = 11,
    span: Annotated[float, typer.Option(metavar="X", help="Strengths from -X to X.")] = 1.0,
    absolute: Annotated[
        bool, typer.Option("--absolute", help="Set components to -X ... X instead of adding to them.")
    ] = False,
    directions: Annotated[Path | None, typer.Option(metavar="FILE", help="A direction file, for its names.")] = None,
    face: Annotated[int, typer.Option(metavar="I", help="Face I of the seed.")] = 0,
    fps: Fps = 24,
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    device: Device = "auto",
) -> None:
    """Vary one face along two axes: a grid of all combinations."""
    from kaogan.generate.explore import edit_axis, load_directions, point
    from kaogan.generate.explore import sweep as sweep_grid
    from kaogan.generate.explore.rendering import RenderOptions, write_tracks

    loaded, attributes = open_model(context, model, device)
    known = load_directions(directions).bind(loaded) if directions else None
    base = point(loaded, seed, face, attributes)
    if known:
        (base,) = known.to_space([base])
    vertical = "-1" if down is None and across.removeprefix("-").isdigit() else down
    axes = [None if word in (None, "none") else edit_axis(loaded, word, known, absolute) for word in (across, vertical)]
    rows = sweep_grid(base, axes[0] or (lambda point, strength: point), axes[1], steps, span)
    draw(write_tracks, loaded, rows, out, RenderOptions(size, resize, truncation, fps))
