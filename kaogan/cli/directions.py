"""``kaogan directions``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, progress_bar
from kaogan.cli._explore import Call, explores, tell
from kaogan.cli._options import Spaces, listed

EPILOG = "Use them:  kaogan sweep MODEL --directions directions.safetensors --across hair=blue --down none"


@explores("directions runs/dcgan --method tagger")
def directions(
    call: Call,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")] = Path("directions.safetensors"),
    method: Annotated[
        str,
        typer.Option(
            metavar="M",
            help="sefa: from the weights; pca: where pictures differ most; tagger: hair and eye colours, for each face "
            "its own way; regression: the same, one way for all.",
        ),
    ] = "sefa",
    count: Annotated[int, typer.Option(metavar="N", help="How many, of sefa and pca.")] = 8,
    samples: Annotated[int, typer.Option(metavar="N", help="Pictures to learn from, for pca and regression.")] = 2000,
    keep: Annotated[
        str, typer.Option(metavar="A,B", help="Attributes to leave alone. (tagger: all others; regression: none)")
    ] = "",
    layers: Annotated[
        str | None, typer.Option(metavar="L", help="Styles to move: coarse, middle, fine, 3 or 2-5. (all)")
    ] = None,
    space: Spaces = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Also a picture of each direction at five strengths.")
    ] = None,
    span: Annotated[
        float | None, typer.Option(metavar="X", help="Strengths from -X to X there. (1 of tagger and regression; 4)")
    ] = None,
    face: Annotated[int, typer.Option(metavar="I", help="The face there.")] = 0,
) -> None:
    """Find the sliders of a model: directions with names, in a file that sweep and the studio read."""
    from kaogan.generate.explore import find_directions, move_of, point
    from kaogan.generate.explore import sweep as grid_of
    from kaogan.generate.explore.latent_grids import strengths
    from kaogan.generate.explore.rendering import check_still, write_labelled

    if sheet is not None:
        check_still(sheet, "--sheet is a picture")
    steps = strengths(5, span if span is not None else 1.0 if method in ("tagger", "regression") else 4.0)
    base = point(call.model, call.seed, face, **call.attributes)
    with progress_bar("looking") as update:
        found = find_directions(
            call.model, method, count, samples=samples, seed=call.seed, space=space, layers=layers, keep=listed(keep),
            progress=update,
        )  # fmt: skip
    tell(found.save(out))
    console.print(escape(", ".join(found.names)), soft_wrap=True)
    if sheet is not None:
        (base,) = found.prepare(call.model, [base])
        cells = [grid_of(base, move_of(call.model, name, found), None, 5, steps[-1])[0] for name in found.names]
        call.draw(write_labelled, cells, found.names, [f"{step:+g}" if step else "0" for step in steps], sheet)
