"""Signs of life of long commands where output is no terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

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
