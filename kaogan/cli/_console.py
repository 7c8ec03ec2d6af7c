"""Shared by the commands: consoles, progress bars, tables, and options that typer does not know."""

from __future__ import annotations

import difflib
import os
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from kaogan.cli._words import foreign_option
from kaogan.core.errors import UsageError
from kaogan.core.progress import Progress
from kaogan.core.text import one_line, printable

if TYPE_CHECKING:
    from kaogan.core.schema import Schema


class _SafeConsole(Console):
    """A console that shows control characters of names and messages instead of obeying them."""

    silent = True
    """Whether nothing has been shown yet, on this console or the other one."""

    def print(self, *objects: Any, **options: Any) -> None:
        _SafeConsole.silent = False
        super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """The reader, head for example, has seen enough: the work goes on without it."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())

    def set_live(self, live: Any) -> Any:
        _SafeConsole.silent = False
        return super().set_live(live)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)  # before lines are wrapped

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Whatever is printed comes through here: tables, bars and texts that were made elsewhere, too."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


console = _SafeConsole(highlight=False)
errors = _SafeConsole(stderr=True, highlight=False)

SECONDS_BETWEEN_LINES = 30.0
FREE_WORDS = {"allow_extra_args": True, "ignore_unknown_options": True}
"""Context settings of a command that takes ``--KEY VALUE`` options beyond those in its help."""


def say_that_it_starts(seconds: float = 2.0) -> None:
    """On a terminal that has shown nothing for so long: PyTorch takes seconds to be read, more from a cold disk."""

    def say() -> None:
        if _SafeConsole.silent:
            errors.print("[dim]starting…[/]")

    if errors.is_terminal:
        timer = threading.Timer(seconds, say)
        timer.daemon = True  # a command that is done does not wait for it
        timer.start()


@contextmanager
def progress_bar(description: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """A bar with a rate and the time left; where output is no terminal, a line every half minute.

    Yields ``update(done, total, description)``; a total of 0 is unknown.
    """
    if not console.is_terminal:
        lines = _Lines(time.monotonic() + SECONDS_BETWEEN_LINES)
        what = description

        def tell(done: int, total: int | None = None, description: str | None = None) -> None:
            lines.tell(done, total or 0, description or what)

        yield tell
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s")

    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(escape(one_line(description)), total=total)

        def update(done: int, total: int | None = None, description: str | None = None) -> None:
            text = None if description is None else escape(one_line(description))
            bar.update(task, completed=done, total=total or None, description=text)

        yield update


@contextmanager
def progress_report(description: str) -> Iterator[Progress]:
    """The bar as a Progress; where output is no terminal, a line for each new piece of work and every half minute."""
    if console.is_terminal:
        with progress_bar(description) as update:
            yield lambda done, total, what: update(done, total or None, what)
        return
    lines, last = _Lines(0.0), ""

    def report(done: int, total: int, what: str) -> None:
        nonlocal last
        if what != last:
            lines.due, last = 0.0, what
        lines.tell(done, total, what)

    yield report


class _Lines:
    """Progress as lines: the first at the time ``due``, the next ones every half minute."""

    def __init__(self, due: float) -> None:
        self.due = due

    def tell(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if now >= self.due:
            self.due = now + SECONDS_BETWEEN_LINES
            how_far = f": {done:,} of {total:,}" if total else f": {done:,}" if done else ""
            with suppress(OSError):  # of a full disk: whoever works, and writes files, would take it for its own
                console.print(f"{what}{how_far}", markup=False, soft_wrap=True)


def parse_overrides(words: dict[str, str]) -> dict[str, Any]:
    """``--optim.lr 1e-4 --data.horizontal_flip=true`` -> {"optim.lr": ..., "data.horizontal_flip": True}.

    Values are YAML, or lists written a,b,c; those of name, summary and source are plain text.
    """
    from kaogan.config import recipes

    overrides: dict[str, Any] = {}
    for key, value in words.items():
        if key in ("name", "summary", "source"):
            overrides[key] = value
            continue
        plain = "," in value and value.strip()[:1] not in "[{\"'"
        overrides[key.replace("-", "_")] = recipes.parse_yaml(f"[{value}]" if plain else value, f"--{key}")
    return overrides


def sort_words(context: typer.Context, first: str | None) -> tuple[str | None, dict[str, str]]:
    """The one plain word and the ``--key value`` or ``--key=value`` pairs of a command line, in any order.

    ``first`` is the word that typer took for the argument. Raises UsageError for a second plain word and for a key
    without a value.
    """
    plain, pairs = split_words(context, [first])
    if len(plain) > 1:
        raise UsageError(f"unexpected word '{plain[1]}'; options that are not in --help are written --NAME VALUE")
    return (plain[0] if plain else None), pairs


def split_words(context: typer.Context, first: Iterable[str | None]) -> tuple[list[str], dict[str, str]]:
    """All plain words and pairs of a command line; ``first`` are the words that typer took for arguments.

    Raises UsageError for a key without a value.
    """
    plain: list[str] = []
    pairs: dict[str, str] = {}
    left = iter([*(word for word in first if word is not None), *context.args])
    for word in left:
        key, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not key:
            plain.append(word)
            continue
        try:
            value = value if equals else next(left)
        except StopIteration:
            refuse_misspelt(context, [key])
            raise UsageError(f"--{key} needs a value") from None
        if key == "attribute" and "=" in value:  # one that is called like an option
            key, _, value = value.partition("=")
        pairs[key] = value
    return plain, pairs


def refuse_misspelt(context: typer.Context, keys: Iterable[str], known: Container[str] = ()) -> None:
    """Raise UsageError for a key, not in ``known``, that looks like an option of --help or of another program."""
    options = [word for parameter in context.command.params for word in parameter.opts if word.startswith("--")]
    for key in keys:
        if key.split(".")[0].replace("-", "_") in known:
            continue
        if hint := foreign_option(context.info_name, key):
            raise UsageError(f"unknown option --{key}: {hint}")
        near = difflib.get_close_matches(f"--{key}", options, n=1, cutoff=0.8)
        if near:
            raise UsageError(f"unknown option --{key} (did you mean '{near[0]}'?)")


def parse_attributes(words: dict[str, str], known: Schema) -> dict[str, Any]:
    """``--hair pink --eyes red:0.5,blue:0.5`` -> {"hair": "pink", "eyes": {"red": 0.5, "blue": 0.5}}; a value of
    ``known`` that has a colon is taken as it is."""
    attributes: dict[str, Any] = {}
    for name, value in words.items():
        if ":" not in value or (name in known.names and value in known[name].values):
            attributes[name] = value
            continue
        try:
            attributes[name] = {k.strip(): float(v) for k, _, v in (part.rpartition(":") for part in value.split(","))}
        except ValueError:
            raise UsageError(f"--{name} {value}: write a mixture as value:weight,value:weight") from None
    return attributes


def refuse_unused(why: str, **options: object) -> None:
    """Raise UsageError for one of ``options`` that was given: it would do nothing, for the reason ``why``."""
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"--{name} {why}")


def print_table(table: Any) -> None:
    """Print a table: fitted to a terminal, one line for each row in a pipe; nothing is cut off."""
    for column in table.columns:
        column.overflow = "fold"
    (console if console.is_terminal else _SafeConsole(highlight=False, width=10_000)).print(table)


def notice(message: str) -> None:
    """One line on standard error about a name that has changed."""
    errors.print(f"[dim]note: {escape(message)}[/]", soft_wrap=True)
