"""Running a command line: exit codes, and errors as one line."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from kaogan.cli._console import errors, say_that_it_starts
from kaogan.core.errors import KaoganError, ProcessLostError, UsageError, is_out_of_memory


def run_app(app: typer.Typer, name: str) -> None:
    """Run a command line and exit with its code: a user's mistake is one line, never a traceback."""
    for stream_name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, stream_name) is None:  # closed by the caller: no file of ours may get its number
            setattr(sys, stream_name, Path(os.devnull).open(mode))  # noqa: SIM115 - for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that this terminal cannot show must not stop the work
            stream.reconfigure(errors="replace")
    for each in ("SIGTERM", "SIGBREAK"):
        if hasattr(signal, each):  # SIGBREAK: on Windows, where a process can be sent no other one
            signal.signal(getattr(signal, each), signal.default_int_handler)
    try:
        words, plugins = split_plugins(sys.argv[1:])
        if words and words[0] not in ("-h", "--help", "--version"):
            say_that_it_starts()
            load_plugins(plugins)
        code = app(words, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except ProcessLostError as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which torchrun sends now: this process is ending by itself
        from kaogan.core.distributed import code_of_failure

        code = code_of_failure()
        if code == ProcessLostError.exit_code:  # it died without a word
            code = _fail(str(error), code)
    except KaoganError as error:
        code = _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        code = _fail("interrupted", 130)
    except OSError as error:
        if not _stdout_fails():
            raise
        # Otherwise the interpreter would report at its end that it cannot flush the same output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        closed = isinstance(error, BrokenPipeError)  # the reader, head for example, has seen enough
        code = 0 if closed else _fail(f"cannot write the output: {error.strerror}", 1)
    except Exception as error:  # typer's own errors; anything else is a bug and keeps its traceback
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            code = _explain(error)
        elif type(error).__name__ == "Abort":
            code = _fail("interrupted", 130)
        elif is_out_of_memory(error):
            code = _fail("out of memory; ask for less: a smaller --batch-size, --image-size or --count", 1)
        else:
            _speaks(1)
            raise
    if "RANK" in os.environ:  # torchrun ends the others where one has failed; each is ending by itself
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(code if isinstance(code, int) else 0)


def split_plugins(words: list[str]) -> tuple[list[str], list[str]]:
    """A call without its ``--plugin FILE.py`` options, which may stand anywhere, and the files that they name."""
    left: list[str] = []
    plugins: list[str] = []
    rest = iter(words)
    for word in rest:
        if word.startswith("--plugin="):
            plugins.append(word.partition("=")[2])
        elif word == "--plugin":
            plugins.append(next(rest, ""))
        else:
            left.append(word)
    if "" in plugins:
        raise UsageError("--plugin needs a Python file")
    return left, plugins


def load_plugins(files: list[str]) -> None:
    """Load installed plug-ins and these files, before a command looks for what they bring. Raises UsageError."""
    from kaogan import plugins

    plugins.load_installed_plugins()
    plugins.load_plugins(files)


def _stdout_fails() -> bool:
    """Whether it was standard output that could not be written, rather than some other file."""
    try:
        os.write(sys.stdout.fileno(), b"\n")  # an empty write would succeed on a full device
    except OSError:
        return True
    return False


def _speaks(code: int) -> bool:
    """Whether it is this process, of perhaps several, that tells the user of a failure."""
    if "RANK" not in os.environ:
        return True
    from kaogan.core.distributed import report_failure

    return report_failure(code)


def _fail(message: str, code: int) -> int:
    if not _speaks(code):
        return code
    with suppress(OSError):  # of a full or closed standard error: the exit code still says it
        errors.print(f"[bold red]kaogan:[/] {escape(' '.join(message.split()))}", soft_wrap=True)
    return code


def _explain(error: Any) -> int:
    """Print one of typer's errors in the style of all the others; a group without a command has printed its help."""
    message = error.format_message().strip().rstrip(".")
    if not message:
        return int(error.exit_code)
    command = error.ctx.command_path if getattr(error, "ctx", None) else "kaogan"
    return _fail(f"{message[0].lower()}{message[1:]} (see '{command} --help')", error.exit_code)
