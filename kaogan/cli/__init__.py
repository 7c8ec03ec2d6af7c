"""The command line: ``main`` is the entry point, ``_app`` lists the commands, each command has its own file."""

from __future__ import annotations

import os
import signal
from typing import Any

from kaogan.core.lazy_names import lazy_names


def main() -> None:
    """Run the command line and exit with its code."""
    # The imports take a few tenths of a second; nothing has been started then, so Ctrl-C can end the process at once.
    before = signal.signal(signal.SIGINT, _end_at_once)
    from kaogan.cli._app import app
    from kaogan.cli._run import run_app

    signal.signal(signal.SIGINT, before)
    run_app(app, "kaogan")


def _end_at_once(number: int, frame: Any) -> None:
    os.write(2, b"kaogan: interrupted\n")
    os._exit(128 + number)


__getattr__ = lazy_names(__name__, {"._app": ("app",)})
