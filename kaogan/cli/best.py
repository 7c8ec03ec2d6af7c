"""``kaogan explore best``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._console import console, progress_bar
from kaogan.cli._explore import EPILOG, draw, open_model
from kaogan.cli._options import Device, ModelArgument, Resize, Seed, Size, Truncation

__all__ = ["EPILOG", "best"]


def best(
    context: typer.Context,
    model: ModelArgument = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="A sheet (.png, .jpg), the best face first.")] = Path(
        "best.png"
    ),
    count: Annotated[int, typer.Option(metavar="K", help="Number of faces to keep.")] = 16,
    of: Annotated[int, typer.Option(metavar="N", help="Number of faces to choose from.")] = 256,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="SCORER",
            help="discriminator (MODEL is a run), precision (close to the pictures of --data) or quality (by the "
            "tagger). (the first that is available)",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="SET", help="Real pictures for precision: a folder or zip.")
    ] = None,
    columns: Annotated[int, typer.Option(metavar="C", help="Faces in a row.")] = 8,
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    device: Device = "auto",
) -> None:
    """Choose the best of many faces. --truncation 0.9 samples from a narrower distribution."""
    from kaogan.data import load_pictures
    from kaogan.generate.explore import rank, scorer_for
    from kaogan.generate.explore.latent_point import check_count
    from kaogan.generate.explore.ranking import MAX_RANKED
    from kaogan.generate.explore.rendering import RenderOptions, check_still, write_sheet

    loaded, attributes = open_model(context, model, device)
    check_still(out, "the best faces are a sheet")
    check_count(columns, "faces in a row", maximum=1024)
    check_count(of, "faces to choose from", maximum=MAX_RANKED)
    check_count(count, "faces", maximum=of)
    path = loaded.path
    assert path is not None
    with progress_bar("scoring") as update:
        real = None
        if data is not None:
            real = load_pictures(data, image_size=loaded.image_size, channels=loaded.channels, progress=update)
        name, scorer = scorer_for(by, loaded, path.parent if path.name == "model" else path, real, update)
        found = rank(
            loaded, scorer, count, of, seed=seed, truncation=truncation, progress=update, attributes=attributes
        )
    draw(write_sheet, loaded, found.points, min(columns, count), out, RenderOptions(size, resize, truncation))
    numbers = ", ".join(map(str, found.numbers[:8])) + (", ..." if count > 8 else "")
    console.print(f"by {name}, of {of:,}: pictures {numbers} of seed {seed}", soft_wrap=True)
