"""``kaogan recipes``: list, show, diff."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, print_table

app = typer.Typer(help="List, show and compare the published recipes.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """One line for each recipe."""
    from rich.table import Table

    from kaogan.config import recipes

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name in recipes.names():
        recipe = recipes.load(name)
        table.add_row(f"[bold]{name}[/]", escape(recipe.summary))
    from kaogan.config import upscale_recipe as upscaling

    for name in upscaling.names():
        table.add_row(f"[bold]{name}[/]", escape(upscaling.load(name).summary))
    print_table(table)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A published recipe.")],
    resolved: Annotated[bool, typer.Option("--resolved", help="With every default filled in.")] = False,
) -> None:
    """Print a recipe as it is written, or with every key (--resolved)."""
    from kaogan.config import recipes
    from kaogan.config import upscale_recipe as upscaling

    kind = upscaling if name in upscaling.names() else recipes
    text = recipes.dump(kind.load(name)) if resolved else kind.text(name)
    console.print(text.rstrip(), markup=False, soft_wrap=True)


@app.command("diff")
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A recipe's name or file.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
) -> None:
    """The keys in which two recipes differ."""
    from rich.table import Table

    from kaogan.config import recipes
    from kaogan.config import upscale_recipe as upscaling

    table = Table("key", escape(first), escape(second), box=None, padding=(0, 2, 0, 0))
    a, b = (upscaling.load(name) if name in upscaling.names() else recipes.load(name) for name in (first, second))
    differences = recipes.diff(a, b, ignore=("name", "summary", "source"))
    for key, a, b in differences:
        table.add_row(key, *("–" if value is None else escape(str(value)) for value in (a, b)))
    if differences:
        print_table(table)
    else:
        console.print("no difference")
