"""``kaogan explore project``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from kaogan.cli._console import console, progress_bar, refuse_misspelt, split_words
from kaogan.cli._explore import print_path
from kaogan.cli._options import Device, FoundSpace, Fps, ModelArgument, Out, Resize, Seed, Size
from kaogan.core.errors import UsageError

if TYPE_CHECKING:
    from kaogan.aux_models.tagger import Tagger
    from kaogan.generate.explore import LatentPoint, Projection
    from kaogan.generate.model import Model

EPILOG = "--hair blue, --eyes red: also edit the face, keeping the other attributes that the tagger sees."


def project(
    context: typer.Context,
    model: ModelArgument = None,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PICTURE...", help="Pictures of faces, cropped like the training set, or folders of them."
        ),
    ] = None,
    out: Out = Path("projection.png"),
    steps: Annotated[int, typer.Option(metavar="N", help="Optimization steps; more come closer.")] = 150,
    starts: Annotated[int, typer.Option(metavar="N", help="Number of starting faces.")] = 4,
    strength: Annotated[float, typer.Option(metavar="X", help="Strength of the edit; above 1 exaggerates it.")] = 1.0,
    space: FoundSpace = None,
    seed: Seed = 0,
    size: Size = None,
    resize: Resize = "bicubic",
    fps: Fps = 12,
    device: Device = "auto",
) -> None:
    """Find given faces in a model (GAN inversion), and edit their hair or eyes.

    A sheet shows the picture, its projection, and the edited face; a film shows the search and the edit.
    """
    from kaogan.aux_models.tagger import load_tagger
    from kaogan.generate.explore import between, edit
    from kaogan.generate.explore import project as invert
    from kaogan.generate.explore.projection import read_faces
    from kaogan.generate.explore.rendering import RenderOptions, check_projections, write_projections
    from kaogan.generate.model import load

    plain, words = split_words(context, [model, *(pictures or [])])
    if len(plain) < 2:
        refuse_misspelt(context, words)
        raise UsageError("name a model and a picture, as in: kaogan explore project runs/acgan face.png --hair blue")
    if not math.isfinite(strength):
        raise UsageError(f"the strength must be a number, not {strength}")
    loaded, tagger = load(plain[0], device), load_tagger()
    _check_attributes(context, loaded, tagger, words)
    faces = read_faces(loaded, [Path(place) for place in plain[1:]])
    options = RenderOptions(size, resize, fps=fps)
    check_projections(loaded, len(faces), bool(words), out, options)
    found: list[Projection] = []
    changed: list[LatentPoint | None] = []
    with progress_bar("projecting") as update:
        for face in faces.values():
            here = invert(
                loaded, face, steps, starts=starts, seed=seed, space=space, tagger=tagger,
                progress=lambda done, total, what: update(len(found) * total + done, len(faces) * total, what),
            )  # fmt: skip
            end = edit(loaded, here.point, words, tagger=tagger) if words else None
            found.append(here)
            changed.append(end and between(here.point, end, strength, "linear"))
    print_path(write_projections(loaded, found, changed, out, options))
    for path, here, end in zip(faces, found, changed, strict=True):
        _print_tags(path if len(faces) > 1 else "", loaded, tagger, here, end)


def _check_attributes(context: typer.Context, model: Model, tagger: Tagger, words: dict[str, str]) -> None:
    from kaogan.generate.explore.attribute_edit import check_value

    refuse_misspelt(context, words, [*model.attributes.names, *tagger.values])
    for name, value in words.items():
        check_value(model, tagger, name, value)


def _print_tags(name: str, model: Model, tagger: Tagger, found: Projection, changed: LatentPoint | None) -> None:
    from kaogan.generate.explore import render
    from kaogan.generate.explore.tagger_features import describe_tags

    shown = {"picture": found.target, "found": found.film[-1]}
    if changed is not None:
        shown["changed"] = render(model, [changed])[0]
    for label, line in zip(shown, describe_tags(tagger, list(shown.values())), strict=True):
        console.print(escape(f"{name} {label}: {line}".strip()), soft_wrap=True)
