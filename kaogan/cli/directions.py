"""``kaogan directions``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli.exploring import Device, ModelArgument, Resize, Seed, Size, Truncation, opened, tell
from kaogan.cli.shared import progress_bar

EPILOG = "Use them:  kaogan sweep MODEL --directions directions.safetensors --across hair=blue --down none"


def directions(
    context: typer.Context,
    model: ModelArgument = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")] = Path("directions.safetensors"),
    method: Annotated[
        str,
        typer.Option(
            metavar="M", help="sefa: from the weights; pca: where pictures differ most; tagger: hair and eye colours."
        ),
    ] = "sefa",
    count: Annotated[int, typer.Option(metavar="N", help="How many, of sefa and pca.")] = 8,
    samples: Annotated[int, typer.Option(metavar="N", help="Pictures to learn from, for pca and tagger.")] = 2000,
    keep: Annotated[str, typer.Option(metavar="A,B", help="tagger: leave these attributes alone, as in eyes.")] = "",
    layers: Annotated[
        str | None, typer.Option(metavar="L", help="Styles to move: coarse, middle, fine, 3 or 2-5. (all)")
    ] = None,
    space: Annotated[str | None, typer.Option(metavar="z|w", help="(w where there is one)")] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Also a picture of each direction at five strengths.")
    ] = None,
    span: Annotated[
        float | None, typer.Option(metavar="X", help="Strengths from -X to X there. (1 of the tagger; 4)")
    ] = None,
    face: Annotated[int, typer.Option(metavar="I", help="The face there.")] = 0,
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    device: Device = "auto",
) -> None:
    """Find the sliders of a model: directions with names, in a file that sweep reads."""
    from kaogan.cli.shared import console
    from kaogan.errors import UsageError
    from kaogan.latents import find_directions, move_of, point
    from kaogan.latents import sweep as grid_of
    from kaogan.latents.grids import strengths
    from kaogan.latents.output import is_film, write_labelled

    loaded, asked = opened(context, model, device, "directions runs/dcgan --method tagger")
    if sheet is not None and is_film(sheet):
        raise UsageError(f"--sheet is a picture: name a .png or .jpg, not {sheet}")
    steps = strengths(5, span if span is not None else 1.0 if method == "tagger" else 4.0)
    with progress_bar("looking") as update:
        found = find_directions(
            loaded, method, count, samples=samples, seed=seed, space=space, layers=layers, progress=update
        )
        kept = [word.strip() for word in keep.split(",") if word.strip()]
        if kept:
            found = found.orthogonal_to(*kept)
        tell(found.save(out))
        console.print(", ".join(found.names), soft_wrap=True)
        if sheet is not None:
            (base,) = found.prepare(loaded, [point(loaded, seed, face, **asked)])
            cells = [grid_of(base, move_of(loaded, name, found), None, 5, steps[-1])[0] for name in found.names]
            tell(
                write_labelled(
                    loaded, cells, found.names, [f"{step:+g}" if step else "0" for step in steps], sheet, size=size,
                    resize=resize, truncation=truncation, progress=update,
                )
            )  # fmt: skip
