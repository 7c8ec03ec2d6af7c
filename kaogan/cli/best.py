"""``kaogan best``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaogan.cli._console import console, progress_bar
from kaogan.cli._explore import EPILOG, Call, explores

__all__ = ["EPILOG", "best"]


@explores("best runs/dcgan")
def best(
    call: Call,
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
) -> None:
    """The best of many faces. System A's reduced sigma is --truncation 0.9."""
    from kaogan.data import load_pictures
    from kaogan.generate.explore.latent_point import check_count
    from kaogan.generate.explore.ranking import MOST_TRIED, judge_of
    from kaogan.generate.explore.ranking import best as run
    from kaogan.generate.explore.rendering import check_still, write_sheet

    check_still(out, "the best are a sheet")
    check_count(columns, "faces in a row", most=1024)
    check_count(of, "faces to choose from", most=MOST_TRIED)
    check_count(count, "faces", most=of)
    model, path = call.model, call.model.path
    assert path is not None
    with progress_bar("choosing") as update:
        real = None
        if data is not None:
            real = load_pictures(data, image_size=model.image_size, channels=model.channels, progress=update)
        word, score = judge_of(by, model, path.parent if path.name == "model" else path, real, update)
        found = run(
            model, score, count, of, seed=call.seed, truncation=call.look.truncation, progress=update, **call.attributes
        )
    call.draw(write_sheet, found.points, min(columns, count), out)
    shown = ", ".join(map(str, found.numbers[:8])) + (", ..." if count > 8 else "")
    console.print(f"by {word}, of {of:,}: pictures {shown} of seed {call.seed}", soft_wrap=True)
