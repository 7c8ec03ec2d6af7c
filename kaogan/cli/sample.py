"""``kaogan sample``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import (
    console,
    errors,
    parse_attributes,
    progress_bar,
    refuse_misspelt,
    refuse_unused,
    sort_words,
)
from kaogan.cli._options import ATTRIBUTES, Device, Keep, ModelArgument, Processes, Seed, Truncation
from kaogan.core.errors import UsageError

if TYPE_CHECKING:
    from kaogan.generate.model import Model

EPILOG = ATTRIBUTES


def sample(
    context: typer.Context,
    model: ModelArgument = None,
    out: Annotated[Path | None, typer.Option(metavar="PATH", help="A picture, or a folder. (samples.png)")] = None,
    count: Annotated[int | None, typer.Option(metavar="N", help="How many faces. (64)")] = None,
    seed: Seed = 0,
    rows: Annotated[int | None, typer.Option(metavar="R", help="Rows of the grid. (as many as columns)")] = None,
    separate: Annotated[bool, typer.Option("--separate", help="One file for each face.")] = False,
    truncation: Truncation = 1.0,
    keep: Keep = None,
    format: Annotated[str, typer.Option(metavar="F", help="png, jpg or webp, where PATH does not say.")] = "png",
    mode: Annotated[
        str | None,
        typer.Option(metavar="M", help="fix_noise: one face in all colours; fix: one combination; change_hair, ..."),
    ] = None,
    upscale: Annotated[int | None, typer.Option(metavar="S", help="2, 4 or 8 times as large, by kao-sr.")] = None,
    device: Device = "auto",
    processes: Processes = None,
    list_attributes: Annotated[
        bool, typer.Option("--list-attributes", help="List the attributes of the model.")
    ] = False,
) -> None:
    """Draw faces from a trained model."""
    from kaogan.cli._processes import worker_pool
    from kaogan.generate.grids import write_mode, write_samples
    from kaogan.generate.model import load
    from kaogan.generate.model_card import youth

    model, words = sort_words(context, model)
    if model is None:
        refuse_misspelt(context, words)
        raise UsageError("name the folder of a run or of a model, or one of 'kaogan models', as in: kaogan sample kao")
    loaded = load(model, device, filtered=keep is None or keep < 1)
    if keep is not None:
        loaded.keep = keep
    if list_attributes:
        _print_attributes(context, loaded)
        return
    refuse_misspelt(context, words, loaded.attributes.names)
    attributes = parse_attributes(words, loaded.attributes)
    upscaler = None
    if upscale is not None:
        from kaogan.aux_models.upscaler import load_upscaler

        upscaler = load_upscaler("kao-sr", device)
        if upscale not in upscaler.scales:
            raise UsageError(f"--upscale is one of {', '.join(map(str, upscaler.scales))}, not {upscale}")
        if mode:
            raise UsageError("--upscale enlarges faces, not the sheets of --mode; 'kaogan upscale' takes any picture")
    if mode:
        unused = {"count": count, "rows": rows, "separate": separate or None, "processes": processes}
        refuse_unused("is for faces, not for the sheets of --mode", **unused)
        path = write_mode(
            loaded, mode, out or Path(f"{mode}.{format}"), seed=seed, truncation=truncation, format=format,
            attributes=attributes,
        )  # fmt: skip
        console.print(escape(str(path)), soft_wrap=True)
        return
    if separate:
        refuse_unused("is for a grid, not with --separate", rows=rows)
    count = 64 if count is None else count
    out = out or Path("samples" if separate else f"samples.{format}")
    with worker_pool(processes, device) as pool, progress_bar("sampling", count) as update:
        paths = write_samples(
            loaded, out, count=count, seed=seed, rows=rows, separate=separate, truncation=truncation, format=format,
            attributes=attributes, progress=update, upscaler=upscaler, scale=upscale or 1, pool=pool,
        )  # fmt: skip
    console.print(escape(f"{len(paths)} pictures in {out}" if separate else str(paths[0])), soft_wrap=True)
    if note := youth(loaded.config):
        errors.print(f"[dim]note: {escape(note)}[/]", soft_wrap=True)


def _print_attributes(context: typer.Context, model: Model) -> None:
    options = {word.lstrip("-") for parameter in context.command.params for word in parameter.opts}
    for each in model.attributes.attributes:
        option = f"--attribute {each.name}=" if each.name in options else f"--{each.name}"
        console.print(f"[bold]{escape(option)}[/]  {escape(', '.join(each.values))}", soft_wrap=True)
    if not model.attributes:
        console.print("none: this model was trained without attributes")
