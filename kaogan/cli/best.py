"""``kaogan best``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli.exploring import EPILOG, Device, ModelArgument, Resize, Seed, Size, Truncation, opened, tell
from kaogan.cli.shared import progress_bar

__all__ = ["EPILOG", "best"]


def best(
    context: typer.Context,
    model: ModelArgument = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help=".png or .jpg: a sheet, the best one first.")] = Path(
        "best.png"
    ),
    count: Annotated[int, typer.Option(metavar="K", help="How many faces to keep.")] = 16,
    of: Annotated[int, typer.Option(metavar="N", help="Of how many.")] = 256,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="JUDGE",
            help="discriminator (MODEL is a run), precision (near to pictures of --data) or quality (the tagger's). "
            "(the first that there is)",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="SET", help="Real pictures for precision: folder or zip.")
    ] = None,
    columns: Annotated[int, typer.Option(metavar="C", help="Faces in a row.")] = 8,
    seed: Seed = 0,
    truncation: Truncation = 1.0,
    size: Size = None,
    resize: Resize = "bicubic",
    device: Device = "auto",
) -> None:
    """The best of many faces. System A's reduced sigma is --truncation 0.9."""
    from kaogan.cli.shared import console
    from kaogan.data import load_pictures
    from kaogan.errors import UsageError
    from kaogan.latents.choosing import best as run
    from kaogan.latents.choosing import judge_of
    from kaogan.latents.output import is_film, write_sheet
    from kaogan.latents.points import check_count

    loaded, asked = opened(context, model, device, "best runs/dcgan")
    if is_film(out):
        raise UsageError(f"the best are a sheet: name a .png or .jpg, not {out}")
    check_count(columns, "faces in a row", most=1024)
    check_count(of, "faces to choose from", most=1_000_000)
    check_count(count, "faces", most=of)
    assert loaded.path is not None
    run_folder = loaded.path.parent if loaded.path.name == "model" else loaded.path
    with progress_bar("choosing") as update:
        real = None
        if data is not None:
            real = load_pictures(data, image_size=loaded.image_size, channels=loaded.channels, progress=update)
        word, score = judge_of(by, loaded, run_folder, real, update)
        found = run(loaded, score, count, of, seed=seed, truncation=truncation, progress=update, **asked)
        path = write_sheet(
            loaded, found.points, out, min(columns, count), size=size, resize=resize, truncation=truncation
        )
    tell(path)
    shown = ", ".join(map(str, found.numbers[:8])) + (", ..." if count > 8 else "")
    console.print(f"by {word}, of {of:,}: pictures {shown} of seed {seed}", soft_wrap=True)
