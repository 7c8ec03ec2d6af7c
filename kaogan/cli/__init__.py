"""The command line: parsing and printing only. Every verb has its own file, and its work is a function elsewhere."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Annotated, Any

import typer
import typer.core
from rich.markup import escape

from kaogan.cli import (
    avatars,
    best,
    compare,
    convert,
    directions,
    evaluate,
    export,
    faces,
    import_,
    interpolate,
    mix,
    morph,
    prepare,
    project,
    recipes,
    sample,
    studio,
    sweep,
    tagger,
    train,
    upscale,
    walk,
)
from kaogan.cli._console import FREE_WORDS, console, errors
from kaogan.core.errors import KaoganError
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
    epilog="Start with:  kaogan train        Sources, settings and pictures: the README and docs/.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def main() -> None:
    """The entry point: a user's mistake is one line and an exit code, never a traceback."""
    run_app(app, "kaogan")


def run_app(app: typer.Typer, name: str) -> None:
    """Run a command line and exit: a user's mistake is one line and an exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that this terminal cannot spell is no reason to stop
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill is a Ctrl-C
    try:
        code = app(prog_name=name, standalone_mode=False)
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


app.command(context_settings=FREE_WORDS, epilog=train.EPILOG)(train.train)
app.command(context_settings=FREE_WORDS, epilog=sample.EPILOG)(sample.sample)
app.command(epilog=upscale.EPILOG)(upscale.upscale)
app.command(epilog=prepare.EPILOG, cls=prepare.Described)(prepare.prepare)
app.command()(avatars.avatars)
app.command(epilog=convert.EPILOG)(convert.convert)
app.add_typer(faces.app, name="faces")
app.command(epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command(context_settings=FREE_WORDS, epilog=compare.EPILOG)(compare.compare)
app.command("import", epilog=import_.EPILOG)(import_.import_)
app.command(epilog=export.EPILOG)(export.export)
app.command(context_settings=FREE_WORDS, epilog=interpolate.EPILOG)(interpolate.interpolate)
app.command(context_settings=FREE_WORDS, epilog=walk.EPILOG)(walk.walk)
app.command(context_settings=FREE_WORDS, epilog=sweep.EPILOG)(sweep.sweep)
app.command(context_settings=FREE_WORDS, epilog=mix.EPILOG)(mix.mix)
app.command(context_settings=FREE_WORDS, epilog=morph.EPILOG)(morph.morph)
app.command(context_settings=FREE_WORDS, epilog=best.EPILOG)(best.best)
app.command(context_settings=FREE_WORDS, epilog=directions.EPILOG)(directions.directions)
app.command(epilog=studio.EPILOG)(studio.studio)
app.command(context_settings=FREE_WORDS, epilog=project.EPILOG)(project.project)
app.add_typer(recipes.app, name="recipes")
app.add_typer(tagger.app, name="tagger")
