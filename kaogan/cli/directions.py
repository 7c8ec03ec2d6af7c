"""``kaogan explore directions``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, progress_bar
from kaogan.cli._explore import draw, open_model, print_path
from kaogan.cli._options import Device, FoundSpace, ModelArgument, Resize, Seed, Size, Truncation, split_list

EPILOG = "To use them:  kaogan explore sweep MODEL --directions directions.safetensors --across hair=blue --down none"


def directions(
    context: typer.Context,
    model: ModelArgument = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")] = Path("directions.safetensors"),
    method: Annotated[
        str,
        typer.Option(
            metavar="M",
            help="sefa: from the weights; pca: where images vary most; tagger: hair and eye colours, optimized for "
            "each face; regression: the same, one vector for all faces.",
        ),
    ] = "sefa",
    count: Annotated[int, typer.Option(metavar="N", help="Number of directions (sefa, pca).")] = 8,
    samples: Annotated[int, typer.Option(metavar="N", help="Number of images to learn from (pca, regression).")] = 2000,
    keep: Annotated[
        str,
        typer.Option(metavar="A,B", help="Attributes that must not change. (tagger: all others; regression: none)"),
    ] = "",
    layers: Annotated[
        str | None, typer.Option(metavar="L", help="Styles to move: coarse, middle, fine, 3 or 2-5. (all)")
    ] = None,
    space: FoundSpace = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Also draw each direction at five strengths.")
    ] = None,
    span: Annotated[
        float | None,
        typer.Option(metavar="X", help="Strengths of the sheet: -X to X. (1 for tagger and regression; 4)"),
    ] = None,
    face: Annotated[int, typer.Option(metavar="I", help="The face of the sheet.")] = 0,
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    device: Device = "auto",
) -> None:
    """Find named directions of a model, and write them to a file for sweep and the studio."""
    from kaogan.generate.explore import edit_axis, find_directions, point
    from kaogan.generate.explore import sweep as sweep_grid
    from kaogan.generate.explore.latent_grids import strengths
    from kaogan.generate.explore.rendering import RenderOptions, check_still, write_labelled

    loaded, attributes = open_model(context, model, device)
    if sheet is not None:
        check_still(sheet, "--sheet is a picture")
    steps = strengths(5, span if span is not None else 1.0 if method in ("tagger", "regression") else 4.0)
    base = point(loaded, seed, face, attributes)
    with progress_bar("finding directions") as update:
        found = find_directions(
            loaded, method, count, samples=samples, seed=seed, space=space, layers=layers, keep=split_list(keep),
            progress=update,
        )  # fmt: skip
    print_path(found.save(out))
    console.print(escape(", ".join(found.names)), soft_wrap=True)
    if sheet is not None:
        bound = found.bind(loaded)
        (base,) = bound.to_space([base])
        cells = [sweep_grid(base, edit_axis(loaded, name, bound), None, 5, steps[-1])[0] for name in found.names]
        labels = [f"{step:+g}" if step else "0" for step in steps]
        draw(write_labelled, loaded, cells, found.names, labels, sheet, RenderOptions(size, resize, truncation))
