"""Shared steps of the explore commands: opening the model, its attribute options, and writing the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from kaogan.cli import _options
from kaogan.cli._console import console, parse_attributes, progress_bar, refuse_misspelt, sort_words
from kaogan.core.errors import UsageError

if TYPE_CHECKING:
    from kaogan.generate.model import Model

EPILOG = _options.ATTRIBUTES


def open_model(context: typer.Context, word: str | None, device: str) -> tuple[Model, dict[str, Any]]:
    """The named model, and the attributes given as options: each a value, a mixture, or a list with one value for each
    face (``--hair pink,blue``). Raises UsageError or KaoganError."""
    from kaogan.generate.model import load

    word, words = sort_words(context, word)
    if word is None:
        refuse_misspelt(context, words)
        raise UsageError(f"name the folder of a run or of a model, as in: {context.command_path} runs/dcgan")
    model = load(word, device)
    refuse_misspelt(context, words, model.attributes.names)
    attributes = parse_attributes(words, model.attributes)
    for name, value in attributes.items():
        attribute = model.attributes[name]
        if isinstance(value, str) and "," in value and value not in attribute.values:
            attributes[name] = _options.split_list(value)
    return model, attributes


def draw(write: Callable[..., Path], *arguments: Any) -> None:
    """Call ``write(*arguments, progress)`` with a progress bar, and print the path that it returns."""
    with progress_bar("rendering") as update:
        print_path(write(*arguments, update))


def print_path(path: Path) -> None:
    console.print(escape(str(path)), soft_wrap=True)
