"""The command ``kaogan avatars``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, progress_bar


def avatars(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    count: Annotated[int, typer.Option(metavar="N", help="How many faces.")] = 1000,
    size: Annotated[int, typer.Option(metavar="S", min=1, max=4096, help="Side of the pictures, px.")] = 64,
    seed: Annotated[int, typer.Option(metavar="K", help="Same seed, same faces.")] = 0,
) -> None:
    """Write the built-in labelled faces as files with a labels.csv."""
    from kaogan.data.avatars import write_set

    with progress_bar("drawing", count) as update:
        write_set(out, count, size, seed, update)
    console.print(escape(f"{count:,} faces in {out}"), soft_wrap=True)
