"""The command line: parsing and printing only. Every verb's work is a function elsewhere."""

from __future__ import annotations

import difflib
import io
import os
import sys
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core
from rich.console import Console
from rich.markup import escape

from kaogan.errors import KaoganError, UsageError
from kaogan.version import __version__


class _Verbs(typer.core.TyperGroup):
    """Makes Ctrl-C an error like any other, before typer makes it an exit without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            error = KaoganError("interrupted")
            error.exit_code = 130
            raise error from None


app = typer.Typer(
    name="kaogan",
    cls=_Verbs,
    help="From a folder of pictures to a trained, shareable generator of anime faces.",
    epilog="Start with:  kaogan train dcgan        Sources, settings and pictures: the README and docs/.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
recipes_app = typer.Typer(help="List, show and compare the published recipes.", no_args_is_help=True)
app.add_typer(recipes_app, name="recipes")

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def main() -> None:
    """The entry point: a user's mistake is one line and an exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that this terminal cannot spell is no reason to stop
            stream.reconfigure(errors="replace")
    try:
        code = app(prog_name="kaogan", standalone_mode=False)
    except KaoganError as error:
        code = _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        code = _fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:  # typer's own errors; anything else is a bug and keeps its traceback
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            code = _explain(error)
        elif type(error).__name__ == "Abort":
            code = _fail("interrupted", 130)
        elif _is_out_of_memory(error):
            code = _fail("out of memory; ask for less: a smaller --batch-size, --image-size or --count", 1)
        else:
            raise
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> int:
    errors.print(f"[bold red]kaogan:[/] {escape(' '.join(message.split()))}", soft_wrap=True)
    return code


def _explain(error: Any) -> int:
    """One of typer's errors in the words of all the others; none for a bare ``kaogan``, which has printed its help."""
    message = error.format_message().strip().rstrip(".")
    if not message:
        return int(error.exit_code)
    command = error.ctx.command_path if getattr(error, "ctx", None) else "kaogan"
    return _fail(f"{message[0].lower()}{message[1:]} (see '{command} --help')", error.exit_code)


def _is_out_of_memory(error: Exception) -> bool:
    # PyTorch has a type of its own for accelerators and plain words for the CPU.
    return isinstance(error, MemoryError) or (
        type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    )


def _version(show: bool) -> None:
    if show:
        console.print(f"kaogan {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


# train


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="The same command again resumes exactly where it stopped. 'kaogan recipes show NAME' prints every key.",
)
def train(
    context: typer.Context,
    recipe: Annotated[str | None, typer.Argument(help="A published recipe, e.g. dcgan, bamsgan, acgan.")] = None,
    recipe_file: Annotated[
        Path | None, typer.Option("--recipe", metavar="FILE.yaml", help="A recipe of one's own, instead of a name.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="A folder or zip of pictures, with labels.csv if there is one. Without it: avatars."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The run's folder. (runs/RECIPE)")] = None,
    images: Annotated[int | None, typer.Option(metavar="N", help="Length of the run in real images shown.")] = None,
    image_size: Annotated[int | None, typer.Option(metavar="S", help="Side of the pictures, px.")] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="B", help="Pictures in a batch.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="K", help="Every random draw follows from it.")] = None,
    device: Annotated[str | None, typer.Option(metavar="D", help="auto, cpu, cuda or mps.")] = None,
    precision: Annotated[str | None, typer.Option(metavar="P", help="auto, fp32, bf16 or fp16.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe, sizes, memory and time; train nothing.")
    ] = False,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Resume although the settings have changed.")
    ] = False,
) -> None:
    """Train a generator. [dim]--SECTION.KEY VALUE[/] sets any key of the recipe: [dim]--optim.lr 1e-4[/]."""
    from kaogan import recipes
    from kaogan.cli_train import run_dry, run_training
    from kaogan.recipe import Recipe

    recipe, words = sort_words(context, recipe)
    refuse_misspelt(context, words, {*Recipe.model_fields, *recipes.SHORTHANDS})
    if (recipe is None) == (recipe_file is None):
        raise UsageError("name one recipe, or give one's own with --recipe FILE.yaml; 'kaogan recipes list' has them")
    overrides = parse_overrides(words)
    for key, value in {"images": images, "image_size": image_size, "batch_size": batch_size, "seed": seed,
                       "device": device, "precision": precision}.items():  # fmt: skip
        if value is not None:
            overrides[key] = value
    resolved = recipes.load(recipe_file or recipe or "", overrides)
    if dry_run:
        run_dry(console, resolved, data)
    else:
        raise typer.Exit(run_training(console, resolved, data, out, allow_changes))


def parse_overrides(words: dict[str, str]) -> dict[str, Any]:
    """``--optim.lr 1e-4 --data.flip=true`` -> {"optim.lr": ..., "data.flip": True}; values are YAML, or a,b,c lists,
    but for the words that only describe."""
    from kaogan import recipes

    overrides: dict[str, Any] = {}
    for key, value in words.items():
        if key in ("name", "summary", "source"):
            overrides[key] = value
            continue
        plain = "," in value and value.strip()[:1] not in "[{\"'"
        overrides[key.replace("-", "_")] = recipes.parse_yaml(f"[{value}]" if plain else value, f"--{key}")
    return overrides


def sort_words(context: typer.Context, first: str | None) -> tuple[str | None, dict[str, str]]:
    """The one plain word and the ``--key value`` or ``--key=value`` pairs of a call, in whatever order they stand.

    ``first`` is what typer took for the plain word. Raises UsageError for a second one and for a key without a value.
    """
    plain: list[str] = []
    pairs: dict[str, str] = {}
    left = iter(([] if first is None else [first]) + context.args)
    for word in left:
        key, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not key:
            plain.append(word)
            continue
        try:
            pairs[key] = value if equals else next(left)
        except StopIteration:
            refuse_misspelt(context, [key])
            raise UsageError(f"--{key} needs a value") from None
    if len(plain) > 1:
        raise UsageError(f"unexpected word '{plain[1]}'; what is not in --help is spelt --NAME VALUE")
    return (plain[0] if plain else None), pairs


def refuse_misspelt(context: typer.Context, keys: Iterable[str], known: Container[str] = ()) -> None:
    """Raise UsageError for a key that is none of ``known`` but looks like one of the options in --help."""
    options = [word for parameter in context.command.params for word in parameter.opts if word.startswith("--")]
    for key in keys:
        near = difflib.get_close_matches(f"--{key}", options, n=1, cutoff=0.8)
        if near and key.split(".")[0].replace("-", "_") not in known:
            raise UsageError(f"unknown option --{key} (did you mean '{near[0]}'?)")


# sample


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog="--hair pink, --eyes aqua: any attribute by name; --hair pink:0.5,blue:0.5 mixes.",
)
def sample(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="A run's folder or a model folder.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="PATH", help="A picture, or a folder. (samples.png)")] = None,
    count: Annotated[int, typer.Option(metavar="N", help="How many faces.")] = 64,
    seed: Annotated[int, typer.Option(metavar="K", help="Same seed, same faces.")] = 0,
    rows: Annotated[int | None, typer.Option(metavar="R", help="Rows of the grid. (as many as columns)")] = None,
    separate: Annotated[bool, typer.Option("--separate", help="One file for each face.")] = False,
    truncation: Annotated[float, typer.Option(metavar="T", help="Below 1: more usual faces; above: wilder.")] = 1.0,
    format: Annotated[str, typer.Option(metavar="F", help="png, jpg or webp, where PATH does not say.")] = "png",
    mode: Annotated[
        str | None,
        typer.Option(metavar="M", help="fix_noise: one face in all colours; fix: one combination; change_hair, ..."),
    ] = None,
    device: Annotated[str, typer.Option(metavar="D", help="auto, cpu, cuda or mps.")] = "auto",
    list_attributes: Annotated[bool, typer.Option("--list-attributes", help="What can be asked for.")] = False,
) -> None:
    """Draw faces from a trained model."""
    from rich.progress import Progress

    from kaogan.sampling.model import load
    from kaogan.sampling.modes import write_mode, write_samples

    model, words = sort_words(context, model)
    if model is None:
        refuse_misspelt(context, words)
        raise UsageError("name the folder of a run or of a model, as in: kaogan sample runs/dcgan")
    loaded = load(model, device)
    if list_attributes:
        for attribute in loaded.attributes.attributes:
            console.print(f"[bold]--{escape(attribute.name)}[/]  {escape(', '.join(attribute.values))}", soft_wrap=True)
        if not loaded.attributes:
            console.print("none: this model was trained without attributes")
        return
    refuse_misspelt(context, words, loaded.attributes.names)
    asked = parse_attributes(words)
    if mode:
        path = write_mode(
            loaded,
            mode,
            out or Path(f"{mode}.{format}"),
            seed=seed,
            truncation=truncation,
            format=format,
            attributes=asked,
        )
        console.print(escape(str(path)), soft_wrap=True)
        return
    out = out or Path("samples" if separate else f"samples.{format}")
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("sampling", total=count)
        paths = write_samples(
            loaded, out, count=count, seed=seed, rows=rows, separate=separate, truncation=truncation, format=format,
            attributes=asked, progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    console.print(escape(f"{len(paths)} pictures in {out}" if separate else str(paths[0])), soft_wrap=True)


def parse_attributes(words: dict[str, str]) -> dict[str, Any]:
    """``--hair pink --eyes red:0.5,blue:0.5`` -> {"hair": "pink", "eyes": {"red": 0.5, "blue": 0.5}}."""
    asked: dict[str, Any] = {}
    for name, value in words.items():
        if ":" not in value:
            asked[name] = value
            continue
        try:
            asked[name] = {k.strip(): float(v) for k, _, v in (part.rpartition(":") for part in value.split(","))}
        except ValueError:
            raise UsageError(f"--{name} {value}: a mixture is spelt value:weight,value:weight") from None
    return asked


# avatars


@app.command()
def avatars(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    count: Annotated[int, typer.Option(metavar="N", help="How many faces.")] = 1000,
    size: Annotated[int, typer.Option(metavar="S", min=1, max=4096, help="Side of the pictures, px.")] = 64,
    seed: Annotated[int, typer.Option(metavar="K", help="Same seed, same faces.")] = 0,
) -> None:
    """Write the built-in labelled faces as files with a labels.csv."""
    from rich.progress import Progress

    from kaogan.data.avatars import write_set

    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("drawing", total=count)
        write_set(out, count, size, seed, lambda done, total, what: bar.update(task, completed=done, total=total))
    console.print(escape(f"{count:,} faces in {out}"), soft_wrap=True)


# recipes


@recipes_app.command("list")
def recipes_list() -> None:
    """One line for each recipe."""
    from rich.table import Table

    from kaogan import recipes

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name in recipes.names():
        recipe = recipes.load(name)
        table.add_row(f"[bold]{name}[/]", escape(recipe.summary))
    _print_table(table)


@recipes_app.command("show")
def recipes_show(
    name: Annotated[str, typer.Argument(help="A published recipe.")],
    resolved: Annotated[bool, typer.Option("--resolved", help="With every default filled in.")] = False,
) -> None:
    """Print a recipe as it is written, or with every key (--resolved)."""
    from kaogan import recipes

    text = recipes.dump(recipes.load(name)) if resolved else recipes.text(name)
    console.print(text.rstrip(), markup=False, soft_wrap=True)


@recipes_app.command("diff")
def recipes_diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A recipe's name or file.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
) -> None:
    """The keys in which two recipes differ."""
    from rich.table import Table

    from kaogan import recipes

    table = Table("key", escape(first), escape(second), box=None, padding=(0, 2, 0, 0))
    differences = recipes.diff(recipes.load(first), recipes.load(second), ignore=("name", "summary", "source"))
    for key, a, b in differences:
        table.add_row(key, *("–" if value is None else escape(str(value)) for value in (a, b)))
    if differences:
        _print_table(table)
    else:
        console.print("no difference")


def _print_table(table: Any) -> None:
    """Fitted into a terminal; one line a row for a pipe."""
    (console if console.is_terminal else Console(highlight=False, width=10_000)).print(table)
