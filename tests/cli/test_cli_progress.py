"""Signs of life of long commands where output is no terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kaogan.cli import _console


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
