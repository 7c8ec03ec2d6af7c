"""``kaogan mix``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli.exploring import Device, ModelArgument, Resize, Seed, Size, Truncation, opened, tell
from kaogan.cli.shared import progress_bar

EPILOG = "Of a style network coarse layers carry pose and shape, fine ones colours (Karras et al. 2019, figure 3)."


def mix(
    context: typer.Context,
    model: ModelArgument = None,
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
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    device: Device = "auto",
) -> None:
    """Children of faces: each row's face with something of each column's."""
    from kaogan.errors import UsageError
    from kaogan.latents import mix as run
    from kaogan.latents import points
    from kaogan.latents.output import is_film, write_table
    from kaogan.latents.points import check_count

    loaded, asked = opened(context, model, device, "mix runs/acgan")
    for count, name in ((rows, "rows"), (columns, "columns")):
        check_count(count, name, most=256)
    if is_film(out):
        raise UsageError(f"a mix is a sheet: name a .png or .jpg, not {out}")
    parents = points(loaded, seed, rows + columns, **asked)
    names = [word.strip() for word in take.split(",") if word.strip()]
    cells = run(loaded, parents[:rows], parents[rows:], what, weight=weight, layers=layers, names=names)
    with progress_bar("rendering") as update:
        tell(
            write_table(
                loaded, parents[:rows], parents[rows:], cells, out, size=size, resize=resize, truncation=truncation,
                progress=update,
            )
        )  # fmt: skip
