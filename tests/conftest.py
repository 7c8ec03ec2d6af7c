"""Tests are small: one thread each is faster than two, and leaves the other core to the other half of the tests."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import pytest
import torch


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache; one cache for all tests of a process keeps the avatars."""
    monkeypatch.setenv("KAOGAN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium: the system's, for the tests download none. One for all tests, since Playwright starts only
    once in a process."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = os.environ.get("KAOGAN_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not chromium:
        pytest.skip("there is no chromium on this machine: apt-get install chromium")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


# A shell starts background jobs with Ctrl-C ignored, nohup with SIGHUP ignored; the tests of interruptions need both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


# Skips: in CI (KAOGAN_STRICT_SKIPS=1) a test may be skipped only for a reason that tests/allowed_skips.txt lists.
ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")
_unknown_skips: dict[str, str] = {}


def allowed_skips() -> list[str]:
    """Patterns of the reasons, one a line; lines that start with # are comments."""
    lines = ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def pytest_runtest_logreport(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if not any(fnmatchcase(reason, pattern) for pattern in allowed_skips()):
            _unknown_skips[report.nodeid] = reason


pytest_collectreport = pytest_runtest_logreport


def pytest_sessionfinish(session: pytest.Session) -> None:
    in_worker = hasattr(session.config, "workerinput")
    if _unknown_skips and not in_worker and os.environ.get("KAOGAN_STRICT_SKIPS") == "1":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for test, reason in _unknown_skips.items():
        terminalreporter.write_line(f"skipped, and tests/allowed_skips.txt has no line for it: {test}: {reason}")
