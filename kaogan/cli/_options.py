"""The options that several verbs have, each written once: what a letter means, and its words in ``--help``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelArgument = Annotated[str | None, typer.Argument(metavar="MODEL", help="A run's folder or a model folder.")]
Out = Annotated[
    Path, typer.Option(metavar="PATH", help=".mp4, .gif, .webp: a film; .png: a sheet; no ending: a folder of frames.")
]
Seed = Annotated[int, typer.Option(metavar="K", help="Same seed, same faces, same bytes.")]
Law = Annotated[
    str | None, typer.Option(metavar="L", help="slerp: along the sphere; linear. (what fits the model's latents)")
]
Space = Annotated[str, typer.Option(metavar="z|w", help="w: through the styles of a style network.")]
Spaces = Annotated[str | None, typer.Option(metavar="z|w", help="(w where there is one)")]
Truncation = Annotated[float, typer.Option(metavar="T", help="Below 1: more usual faces; above: wilder.")]
Size = Annotated[
    int | None, typer.Option(metavar="S", help="Side of a face, px. (as the model makes it; 256 or more in films)")
]
Resize = Annotated[str, typer.Option(metavar="HOW", help="bicubic, or nearest: sharp pixels.")]
Fps = Annotated[float, typer.Option(metavar="F", help="Frames a second of a film.")]
Device = Annotated[str, typer.Option(metavar="D", help="auto, cpu, cuda or mps.")]

ATTRIBUTES = "--hair pink, --eyes aqua: any attribute by name; --hair pink:0.5,blue:0.5 mixes."


def listed(words: str) -> list[str]:
    """``A,B`` as it is typed for several names."""
    return [word.strip() for word in words.split(",") if word.strip()]
