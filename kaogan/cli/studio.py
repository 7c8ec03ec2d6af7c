"""``kaogan studio``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console
from kaogan.core.errors import KaoganError

EPILOG = (
    "Models, runs and sets are found in FOLDER and below. Nothing outside of it can be read, nothing is sent anywhere. "
    "Ctrl-C ends it; a training that it has started leaves a checkpoint first."
)


def studio(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where models, runs and pictures are.")] = Path(),
    models: Annotated[Path | None, typer.Option(metavar="DIR", help="Another folder with models.")] = None,
    host: Annotated[
        str, typer.Option(metavar="H", help="127.0.0.1: only this machine. Another one shows it to your network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="P", help="0: any that is free.")] = 7860,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Behind a proxy: a name that it has there. Repeatable."),
    ] = None,
    root_path: Annotated[
        str, typer.Option(metavar="PATH", help="Behind a proxy: what stands before its paths, as in /user/me/kaogan.")
    ] = "",
) -> None:
    """Make faces, explore, film, measure and train, in a page in the browser."""
    try:
        from kaogan.studio.serve import serve
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        raise KaoganError(f"the studio needs {error.name}: pip install 'kaogan[studio]'") from None

    def ready(address: str, local: bool) -> None:
        console.print(f"The studio is at [bold]{escape(address)}[/]  (Ctrl-C ends it)", soft_wrap=True)
        if not local:
            console.print(
                "Everyone who can reach this address can draw with the models of the folder. Trainings can be watched, "
                "but neither started nor stopped.",
                soft_wrap=True,
            )
        elif allowed_host:
            console.print("Everyone whom the proxy lets through can draw and train here.", soft_wrap=True)

    serve(folder, models, host, port, ready, allowed_host or (), root_path.rstrip("/"))
