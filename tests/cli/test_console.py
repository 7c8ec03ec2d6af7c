"""Signs of life of long commands where output is no terminal."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kaogan.cli import _console
from kaogan.data.cache import cached_pictures

FULL = Path("/dev/full")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_file_gets_lines_and_a_terminal_a_bar(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    now = iter([0.0, 1.0, 2.0, 40.0, 41.0])
    monkeypatch.setattr(_console, "console", Console(file=written, force_terminal=terminal, width=100))
    if not terminal:
        monkeypatch.setattr(_console.time, "monotonic", lambda: next(now))
    with _console.progress_report("comparing") as report:
        for done in (1, 2, 3, 4000):
            report(done, 5000, "training [x], seed 0")
        report(0, 0, "timing dcgan")
    lines = written.getvalue().splitlines()
    if terminal:
        assert "\x1b[" in written.getvalue()
        return
    assert lines == ["training [x], seed 0: 1 of 5,000", "training [x], seed 0: 4,000 of 5,000", "timing dcgan"]


@pytest.mark.skipif(not FULL.exists(), reason="no full device here")
def test_a_full_output_is_not_taken_for_a_full_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of progress are given up; what is printed at the end says what is wrong."""
    pictures = [("a", np.zeros((2, 2, 3), np.uint8))]

    def made() -> Iterator[tuple[str, np.ndarray]]:
        for name, picture in pictures:
            report(1, 1, "reading pictures")
            yield name, picture

    with io.TextIOWrapper(FULL.open("wb", buffering=0), write_through=True) as full:
        monkeypatch.setattr(_console, "console", Console(file=full, width=100))
        with _console.progress_report("comparing") as report:
            assert cached_pictures(tmp_path, "entry", (2, 2, 3), made)[1] == ["a"]
        with pytest.raises(OSError, match="No space left"):
            _console.console.print("results")


def test_names_never_reach_the_terminal_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not through a bar, a table, a text that was made elsewhere or a line without markup."""
    written = io.StringIO()
    console = _console._SafeConsole(file=written, force_terminal=True, width=100, highlight=False)
    monkeypatch.setattr(_console, "console", console)
    evil = "a\x1b]0;title\x07\x9b31m[red]b"
    with _console.progress_bar("start") as update:
        update(1, 2, evil)
        console.print(evil, markup=False)
        console.print(Text(evil))
        table = Table(evil)
        table.add_row(Text(evil))
        _console.print_table(table)
    assert "\x1b]" not in written.getvalue() and "\x07" not in written.getvalue() and "\x9b" not in written.getvalue()
    assert written.getvalue().count("[red]b") >= 3 and r"a\x1b]0;title\x07" in written.getvalue()


def test_a_bar_in_a_file_is_a_line_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    written, now = io.StringIO(), iter([0.0, 1.0, 31.0, 32.0, 62.0])
    monkeypatch.setattr(_console, "console", Console(file=written, width=100))
    monkeypatch.setattr(_console.time, "monotonic", lambda: next(now))
    with _console.progress_bar("sampling", 64) as update:
        update(1, 64)
        update(2, 64)
        update(3, 64)
        update(4, description="scoring")
    assert written.getvalue().splitlines() == ["sampling: 2 of 64", "scoring: 4"]


@pytest.mark.parametrize(("terminal", "said_before"), [(True, False), (True, True), (False, False)])
def test_a_terminal_hears_that_a_slow_command_starts(
    terminal: bool, said_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Timer:
        def __init__(self, seconds: float, say: Callable[[], None]) -> None:
            assert seconds == 2.0
            self.start = say

    written = io.StringIO()
    monkeypatch.setattr(_console.threading, "Timer", Timer)
    monkeypatch.setattr(_console, "errors", _console._SafeConsole(file=written, force_terminal=terminal, width=80))
    monkeypatch.setattr(_console._SafeConsole, "silent", True)
    if said_before:
        _console._SafeConsole(file=io.StringIO()).print("reading")
    _console.say_that_it_starts()
    assert ("starting…" in written.getvalue()) == (terminal and not said_before)
