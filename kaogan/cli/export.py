"""``kaogan export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli.shared import console
from kaogan.errors import UsageError, nearest

EPILOG = "Example:  kaogan export runs/bamsgan --to state-dict --as bamsgan --out netG.pth"
TARGETS = ("state-dict",)


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A run's folder or a model folder.")],
    to: Annotated[str, typer.Option("--to", metavar="KIND", help="state-dict: weights for another program.")],
    as_: Annotated[
        str | None,
        typer.Option("--as", metavar="PROGRAM", help="state-dict: bamsgan, acgan, ganime or starsface."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="PATH", help="The file to write. (MODEL.pth)")] = None,
    wrapped: Annotated[
        bool, typer.Option("--wrapped", help="state-dict: inside of a dict, as in the program's checkpoints.")
    ] = False,
) -> None:
    """Write a model for other programs."""
    if to not in TARGETS:
        raise UsageError(f"unknown kind '{to}'{nearest(to, TARGETS)}")
    from kaogan.importing import export_weights

    if as_ is None:
        raise UsageError("--to state-dict needs the program: --as bamsgan, acgan, ganime or starsface")
    result = export_weights(model, as_, out or Path(f"{model.resolve().name}.pth"), wrapped=wrapped)
    console.print(escape(str(result.path)), soft_wrap=True)
    for note in result.notes:
        console.print(f"  {escape(note)}", soft_wrap=True)
