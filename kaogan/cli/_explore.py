"""What the verbs that explore a model share: their options, opening the model, and drawing what they made of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from kaogan.cli import _options
from kaogan.cli._console import console, parse_attributes, progress_bar, refuse_misspelt, sort_words
from kaogan.core.errors import UsageError

if TYPE_CHECKING:
    from kaogan.generate.explore.rendering import Look
    from kaogan.generate.model import Model

EPILOG = _options.ATTRIBUTES

# In the order of the help. Those that are named by the verb come before those that every verb has.
SOME: dict[str, tuple[Any, Any]] = {
    "law": (_options.Law, None),
    "space": (_options.Space, "z"),
    "fps": (_options.Fps, 24),
}
EVERY: dict[str, tuple[Any, Any]] = {
    "seed": (_options.Seed, 0),
    "truncation": (_options.Truncation, 1.0),
    "size": (_options.Size, None),
    "resize": (_options.Resize, "bicubic"),
    "device": (_options.Device, "auto"),
}


@dataclass(frozen=True)
class Call:
    """A verb's model, and what was said of the options that it shares with the others.

    ``attributes``: of each attribute a value, a mixture, or ``--hair pink,blue``, one for each face.
    """

    model: Model
    attributes: dict[str, Any]
    seed: int
    look: Look
    law: str | None = None
    space: str = "z"

    def draw(self, write: Callable[..., Path], *what: Any) -> None:
        """``write(model, *what, look, progress)`` with a bar; tells where the pictures are."""
        with progress_bar("rendering") as update:
            tell(write(self.model, *what, self.look, update))


def explores(example: str, *some: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a verb of ``function(call, **its own options)``: before them it takes MODEL, behind them the options that
    all share, and those of SOME that are named."""
    shared = {name: SOME[name] for name in SOME if name in some} | EVERY

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()

        def verb(context: typer.Context, model: str | None = None, **words: Any) -> None:
            mine = {each.name: words.pop(each.name) for each in own}
            function(_opened(context, model, example, words), **mine)

        keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [
            inspect.Parameter("context", keyword, annotation=typer.Context),
            inspect.Parameter("model", keyword, annotation=_options.ModelArgument, default=None),
            *own,
            *(
                inspect.Parameter(name, keyword, annotation=kind, default=value)
                for name, (kind, value) in shared.items()
            ),
        ]
        verb.__name__, verb.__doc__, verb.__module__ = function.__name__, function.__doc__, function.__module__
        verb.__annotations__ = {each.name: each.annotation for each in parameters}
        verb.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return verb

    return decorate


def _opened(context: typer.Context, word: str | None, example: str, shared: dict[str, Any]) -> Call:
    """Raises UsageError or KaoganError."""
    from kaogan.generate.explore.rendering import Look
    from kaogan.generate.model import load

    word, words = sort_words(context, word)
    if word is None:
        refuse_misspelt(context, words)
        raise UsageError(f"name the folder of a run or of a model, as in: kaogan {example}")
    model = load(word, shared.pop("device"))
    refuse_misspelt(context, words, model.attributes.names)
    asked = parse_attributes(words)
    for name, value in asked.items():
        attribute = model.attributes[name]
        if isinstance(value, str) and "," in value and value not in attribute.values:
            asked[name] = _options.listed(value)
    look = Look(**{name: shared.pop(name) for name in ("size", "resize", "truncation", "fps") if name in shared})
    return Call(model, asked, look=look, **shared)


def tell(path: Path) -> None:
    console.print(escape(str(path)), soft_wrap=True)
