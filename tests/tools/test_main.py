"""Command lines of the tools: one line for a mistake, and the package does without them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def call(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=cwd, timeout=100)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["tools.tagger", "--data", "nowhere"], 2, "nowhere"),
        (["tools.face_detector", "nowhere"], 2, "no such folder"),
        (["tools.face_detector"], 2, "missing argument"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], code: int, message: str) -> None:
    done = call("-m", *words)
    assert done.returncode == code and message in done.stderr
    assert done.stderr.startswith("kaogan: ") and done.stderr.count("\n") == 1


def test_a_set_without_faces(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    done = call("-m", "tools.face_detector", str(tmp_path / "set"), "--out", str(tmp_path / "run"))
    assert done.returncode in (1, 2) and done.stderr.count("\n") == 1 and not (tmp_path / "run").exists()


def test_the_package_imports_no_tools(tmp_path: Path) -> None:
    """As installed: without the root of the source tree on the path."""
    (tmp_path / "kaogan").symlink_to(ROOT / "kaogan")
    code = (
        "import kaogan.cli, kaogan.cli.faces, kaogan.cli.tagger, sys;"
        "sys.exit(any(name.split('.')[0] == 'tools' for name in sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, timeout=100)
    assert done.returncode == 0
