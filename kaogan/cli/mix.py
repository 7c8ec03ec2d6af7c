"""``kaogan mix``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._explore import Call, explores
from kaogan.cli._options import listed

EPILOG = "Of a style network coarse layers carry pose and shape, fine ones colours (Karras et al. 2019, figure 3)."


@explores("mix runs/acgan")
def mix(
    call: Call,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help=".png or .jpg: a sheet with the parents at its edges.")
    ] = Path("mix.png"),
    what: Annotated[
        str | None,
        typer.Option(metavar="W", help="styles, attributes or latents. (the first of them that the model has)"),
    ] = None,
    rows: Annotated[int, typer.Option(metavar="R", help="Faces down the side.")] = 4,
    columns: Annotated[int, typer.Option(metavar="C", help="Faces along the top.")] = 6,
    layers: Annotated[
        str, typer.Option(metavar="L", help="Styles from the column: coarse, middle, fine, all, 3 or 2-5.")
    ] = "coarse",
    take: Annotated[str, typer.Option(metavar="A,B", help="Attributes from the column. (all)")] = "",
    weight: Annotated[float | None, typer.Option(metavar="X", help="The column's share. (1; of latents 0.5)")] = None,
) -> None:
    """Children of faces: each row's face with something of each column's."""
    from kaogan.generate.explore import mix as run
    from kaogan.generate.explore import points
    from kaogan.generate.explore.latent_point import check_count
    from kaogan.generate.explore.rendering import check_still, write_table

    for count, name in ((rows, "rows"), (columns, "columns")):
        check_count(count, name, most=256)
    check_still(out, "a mix is a sheet")
    parents = points(call.model, call.seed, rows + columns, **call.attributes)
    above, left = parents[rows:], parents[:rows]
    cells = run(call.model, left, above, what, weight=weight, layers=layers, names=listed(take))
    call.draw(write_table, left, above, cells, out)
