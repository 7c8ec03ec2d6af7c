"""``kaogan project``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, progress_bar, refuse_misspelt, split_words
from kaogan.cli._explore import tell
from kaogan.cli._options import Device, Fps, Out, Resize, Seed, Size, Spaces
from kaogan.core.errors import UsageError, nearest

if TYPE_CHECKING:
    from kaogan.aux_models.tagger import Tagger
    from kaogan.generate.explore import Point, Projection
    from kaogan.generate.model import Model

EPILOG = "--hair blue, --eyes red: then change that, and leave what else the tagger sees as it is."


def project(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="A run's folder or a model folder.")] = None,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="PICTURE...", help="Faces, cut as the model's are, or folders of them."),
    ] = None,
    out: Out = Path("projection.png"),
    steps: Annotated[int, typer.Option(metavar="N", help="Steps of the search; more come nearer.")] = 150,
    starts: Annotated[int, typer.Option(metavar="N", help="Faces that the search starts from.")] = 4,
    strength: Annotated[float, typer.Option(metavar="X", help="How far to change; beyond 1: more than needed.")] = 1.0,
    space: Spaces = None,
    seed: Seed = 0,
    size: Size = None,
    resize: Resize = "bicubic",
    fps: Fps = 12,
    device: Device = "auto",
) -> None:
    """Find given faces in a model, and change their hair or eyes.

    A sheet shows the picture, what was found, and the changed face; a film the search and the change beside it.
    """
    from kaogan.aux_models.tagger import load_tagger
    from kaogan.generate.explore import between, edit
    from kaogan.generate.explore import project as run
    from kaogan.generate.explore.projection import read_faces
    from kaogan.generate.explore.rendering import Look, check_projections, write_projections
    from kaogan.generate.model import load

    plain, words = split_words(context, [model, *(pictures or [])])
    if len(plain) < 2:
        refuse_misspelt(context, words)
        raise UsageError("name a model and a picture, as in: kaogan project runs/acgan face.png --hair blue")
    loaded, tagger = load(plain[0], device), load_tagger()
    _check_asked(context, loaded, tagger, words)
    faces, look = read_faces(loaded, [Path(place) for place in plain[1:]]), Look(size, resize, fps=fps)
    check_projections(loaded, len(faces), bool(words), out, look)
    found: list[Projection] = []
    changed: list[Point | None] = []
    with progress_bar("projecting") as update:
        for face in faces.values():
            here = run(
                loaded, face, steps, starts=starts, seed=seed, space=space, tagger=tagger,
                progress=lambda done, total: update(len(found) * total + done, len(faces) * total),
            )  # fmt: skip
            end = edit(loaded, here.point, words, tagger=tagger) if words else None
            found.append(here)
            changed.append(end and between(here.point, end, strength, "linear"))
    tell(write_projections(loaded, found, changed, out, look))
    for path, here, end in zip(faces, found, changed, strict=True):
        _tell_opinions(path if len(faces) > 1 else "", loaded, tagger, here, end)


def _check_asked(context: typer.Context, model: Model, tagger: Tagger, words: dict[str, str]) -> None:
    known = dict.fromkeys([*model.attributes.names, *tagger.values])
    refuse_misspelt(context, words, known)
    for name in words:
        if name not in known:
            raise UsageError(f"unknown attribute '{name}'{nearest(name, known)}")


def _tell_opinions(name: str, model: Model, tagger: Tagger, found: Projection, changed: Point | None) -> None:
    from kaogan.generate.explore import render
    from kaogan.generate.explore.tagger_features import opinions

    shown = {"picture": found.target, "found": found.film[-1]}
    if changed is not None:
        shown["changed"] = render(model, [changed])[0]
    for label, line in zip(shown, opinions(tagger, list(shown.values())), strict=True):
        console.print(escape(f"{name} {label}: {line}".strip()), soft_wrap=True)
