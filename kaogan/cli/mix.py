"""``kaogan explore mix``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._explore import draw, open_model
from kaogan.cli._options import Device, ModelArgument, Resize, Seed, Size, Truncation, split_list

EPILOG = "Coarse layers of a StyleGAN model control pose and shape, fine ones colours (Karras et al. 2019, figure 3)."


def mix(
    context: typer.Context,
    model: ModelArgument = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="A sheet (.png, .jpg) with the mixed faces at its edges.")
    ] = Path("mix.png"),
    what: Annotated[
        str | None,
        typer.Option(metavar="W", help="styles, attributes or latents. (the first that the model supports)"),
    ] = None,
    rows: Annotated[int, typer.Option(metavar="R", help="Number of faces down the side.")] = 4,
    columns: Annotated[int, typer.Option(metavar="C", help="Number of faces along the top.")] = 6,
    layers: Annotated[
        str, typer.Option(metavar="L", help="Styles taken from the column: coarse, middle, fine, all, 3 or 2-5.")
    ] = "coarse",
    take: Annotated[str, typer.Option(metavar="A,B", help="Attributes taken from the column. (all)")] = "",
    weight: Annotated[float | None, typer.Option(metavar="X", help="The column's share. (1; 0.5 for latents)")] = None,
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    device: Device = "auto",
) -> None:
    """Mix faces: each face of a row with something of each face of a column."""
    from kaogan.generate.explore import mix as mix_grid
    from kaogan.generate.explore import points
    from kaogan.generate.explore.latent_point import check_count
    from kaogan.generate.explore.rendering import RenderOptions, check_still, write_table

    loaded, attributes = open_model(context, model, device)
    for count, name in ((rows, "rows"), (columns, "columns")):
        check_count(count, name, maximum=256)
    check_still(out, "a mix is a sheet")
    parents = points(loaded, seed, rows + columns, attributes=attributes)
    above, left = parents[rows:], parents[:rows]
    cells = mix_grid(loaded, left, above, what, weight=weight, layers=layers, names=split_list(take))
    draw(write_table, loaded, left, above, cells, out, RenderOptions(size, resize, truncation))
