"""Options that several commands share: their types and help texts, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelArgument = Annotated[
    str | None, typer.Argument(metavar="MODEL", help="A run folder, a model folder, or one of 'kaogan models'.")
]
Out = Annotated[
    Path,
    typer.Option(metavar="PATH", help="A film (.mp4, .gif, .webp), a sheet (.png), or a folder of frames (no ending)."),
]
Seed = Annotated[int, typer.Option(metavar="K", help="The same seed gives the same faces.")]
Interpolation = Annotated[
    str | None, typer.Option(metavar="I", help="slerp (along the sphere) or linear. (what suits the model's latents)")
]
Space = Annotated[str, typer.Option(metavar="z|w", help="w: interpolate the styles of a StyleGAN model.")]
FoundSpace = Annotated[str | None, typer.Option("--space", metavar="z|w", help="(w if the model has it)")]
Truncation = Annotated[float, typer.Option(metavar="T", help="Below 1: more typical faces; above 1: more varied ones.")]
Keep = Annotated[
    float | None,
    typer.Option(
        metavar="X", help="Draw from the best X of the latents; 1 is all. (0.5, or 0.8, with a latent filter)"
    ),
]
Size = Annotated[
    int | None, typer.Option(metavar="S", help="Side of a face, px. (the model's own; at least 256 in films)")
]
Resize = Annotated[str, typer.Option(metavar="HOW", help="bicubic, or nearest for sharp pixels.")]
Fps = Annotated[float, typer.Option(metavar="F", help="Frames per second of a film.")]
Device = Annotated[str, typer.Option(metavar="D", help="auto, cpu, cuda or mps.")]
Processes = Annotated[
    str | None, typer.Option(metavar="N", help="Share the work among N processes; all: one a card, or a core.")
]

ATTRIBUTES = (
    "--hair pink, --eyes aqua: any attribute of the model; --hair pink:0.5,blue:0.5 is a mixture; "
    "--attribute seed=blue: one that is called like an option."
)


def split_list(text: str) -> list[str]:
    """The items of ``A,B``, without empty ones."""
    return [item.strip() for item in text.split(",") if item.strip()]
