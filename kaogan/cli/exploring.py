"""What the verbs that explore a model share: their options, and opening the model with the attributes asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from kaogan.cli.shared import console, parse_attributes, refuse_misspelt, sort_words
from kaogan.errors import UsageError

if TYPE_CHECKING:
    from kaogan.sampling.model import Model

ModelArgument = Annotated[str | None, typer.Argument(metavar="MODEL", help="A run's folder or a model folder.")]
Out = Annotated[
    Path, typer.Option(metavar="PATH", help=".mp4, .gif, .webp: a film; .png: a sheet; no ending: a folder of frames.")
]
Seed = Annotated[int, typer.Option(metavar="K", help="Same seed, same faces, same bytes.")]
Fps = Annotated[float, typer.Option(metavar="F", help="Frames a second of a film.")]
Size = Annotated[
    int | None, typer.Option(metavar="S", help="Side of a face, px. (as the model makes it; 256 or more in films)")
]
Resize = Annotated[str, typer.Option(metavar="HOW", help="bicubic, or nearest: sharp pixels.")]
Truncation = Annotated[float, typer.Option(metavar="T", help="Below 1: more usual faces; above: wilder.")]
Law = Annotated[
    str | None, typer.Option(metavar="L", help="slerp: along the sphere; linear. (what fits the model's latents)")
]
Space = Annotated[str, typer.Option(metavar="z|w", help="w: through the styles of a style network.")]
Device = Annotated[str, typer.Option(metavar="D", help="auto, cpu, cuda or mps.")]

EPILOG = "--hair pink, --eyes aqua: any attribute by name; --hair pink:0.5,blue:0.5 mixes."


def opened(context: typer.Context, word: str | None, device: str, example: str) -> tuple[Model, dict[str, Any]]:
    """The model, and what is asked of its attributes: a value, a mixture, or ``--hair pink,blue``, one for each face.

    Raises UsageError.
    """
    from kaogan.sampling.model import load

    word, words = sort_words(context, word)
    if word is None:
        refuse_misspelt(context, words)
        raise UsageError(f"name the folder of a run or of a model, as in: kaogan {example}")
    model = load(word, device)
    refuse_misspelt(context, words, model.attributes.names)
    asked = parse_attributes(words)
    for name, value in asked.items():
        attribute = model.attributes[name]
        if isinstance(value, str) and "," in value and value not in attribute.values:
            asked[name] = [part.strip() for part in value.split(",")]
    return model, asked


def tell(path: Path) -> None:
    console.print(escape(str(path)), soft_wrap=True)
