"""``kaogan project``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from kaogan.cli.exploring import Device, Fps, Out, Resize, Seed, Size, tell
from kaogan.cli.shared import console, progress_bar, refuse_misspelt, split_words
from kaogan.errors import KaoganError, UsageError, nearest

EPILOG = "--hair blue, --eyes red: then change that, and leave what else the tagger sees as it is."


def project(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="A run's folder or a model folder.")] = None,
    picture: Annotated[str | None, typer.Argument(metavar="PICTURE", help="A face, cut as the model's are.")] = None,
    out: Out = Path("projection.png"),
    steps: Annotated[int, typer.Option(metavar="N", help="Steps of the search; more come nearer.")] = 150,
    starts: Annotated[int, typer.Option(metavar="N", help="Faces that the search starts from.")] = 4,
    strength: Annotated[float, typer.Option(metavar="X", help="How far to change; beyond 1: more than needed.")] = 1.0,
    space: Annotated[str | None, typer.Option(metavar="z|w", help="(w where there is one)")] = None,
    seed: Seed = 0,
    size: Size = None,
    resize: Resize = "bicubic",
    fps: Fps = 12,
    device: Device = "auto",
) -> None:
    """Find a given face in a model, and change its hair or eyes.

    A sheet shows the picture, what was found, and the changed face; a film the search and the change beside it.
    """
    import numpy as np

    from kaogan.data.decoding import BrokenPicture, read_picture
    from kaogan.latents import between, edit, render
    from kaogan.latents import project as run
    from kaogan.latents.output import face_side, write_projection
    from kaogan.latents.seeing import opinions
    from kaogan.sampling.model import load
    from kaogan.tagger import load_tagger

    plain, words = split_words(context, [model, picture])
    if len(plain) != 2:
        refuse_misspelt(context, words)
        raise UsageError("name a model and a picture, as in: kaogan project runs/acgan face.png --hair blue")
    loaded, tagger = load(plain[0], device), load_tagger()
    known = dict.fromkeys([*loaded.attributes.names, *tagger.values])
    refuse_misspelt(context, words, known)
    for name in words:
        if name not in known:
            raise UsageError(f"unknown attribute '{name}'{nearest(name, known)}")
    try:
        given = read_picture(Path(plain[1]), loaded.channels)
    except BrokenPicture as broken:
        raise KaoganError(f"{plain[1]}: {broken.reason}; name a picture of a face") from None
    face_side(loaded, size, out)  # hears of a wrong size or ending before the search
    with progress_bar("projecting") as update:
        found = run(
            loaded, np.asarray(given), steps, starts=starts, seed=seed, space=space, tagger=tagger, progress=update
        )
        changed = edit(loaded, found.point, words, tagger=tagger) if words else None
        shown = None if changed is None else between(found.point, changed, strength, "linear")
        tell(write_projection(loaded, found, shown, out, fps=fps, size=size, resize=resize))
    named = {"picture": found.target, "found": render(loaded, [found.point])[0]}
    if shown is not None:
        named["changed"] = render(loaded, [shown])[0]
    for label, line in zip(named, opinions(tagger, list(named.values())), strict=True):
        console.print(escape(f"{label}: {line}"), soft_wrap=True)
