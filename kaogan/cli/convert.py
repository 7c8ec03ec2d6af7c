"""The command ``kaogan convert``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, progress_bar
from kaogan.cli._options import split_list

EPILOG = (
    "Formats: kaogan, flat, classes, stylegan, webdataset, huggingface; read only: nested, acgan, acgan-new, hdf5, "
    "bamsgan. Example:  kaogan convert faces/ faces.zip --to stylegan --size 64 --attributes hair"
)
FEW = 5


def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A set of pictures: a folder, zip, tar or .h5.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="What to write; whole or, if anything fails, not at all.")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="The format to write.")],
    from_: Annotated[
        str | None, typer.Option("--from", metavar="FORMAT", help="The format of SOURCE. (found by looking)")
    ] = None,
    size: Annotated[
        int | None, typer.Option(metavar="S", help="Side of the pictures, px; without it each stays as it is.")
    ] = None,
    attributes: Annotated[
        str | None, typer.Option(metavar="A,B", help="The labels to take along, in this order. (all)")
    ] = None,
    shard_size: Annotated[int, typer.Option(metavar="N", help="webdataset: pictures in a shard.")] = 10_000,
    encode: Annotated[
        str, typer.Option(metavar="E", help="png or jpg for every picture; keep: only where it must be.")
    ] = "keep",
) -> None:
    """Turn a set of pictures from one format into another."""
    from kaogan.data.formats import Options
    from kaogan.data.formats import convert as run

    names = None if attributes is None else split_list(attributes)
    options = Options(size=size, attributes=names, shard_size=shard_size, encode=encode)
    with progress_bar("converting") as update:
        result = run(source, out, to, source_format=from_, options=options, progress=update)
    console.print(
        escape(f"{result.written:,} pictures in {out} ({result.source_format} -> {result.target_format})"),
        soft_wrap=True,
    )
    for note in result.notes:
        console.print(f"  {escape(note)}", soft_wrap=True)
    for name, reason in result.skipped[:FEW]:
        console.print(f"  skipped {escape(name)}: {escape(reason)}", soft_wrap=True)
    if len(result.skipped) > FEW:
        console.print(f"  and {len(result.skipped) - FEW:,} more skipped")
