"""What ``kaogan prepare`` says."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from kaogan.cli import app
from kaogan.errors import UsageError

OPTIONS = ["--crop", "none", "--no-tag", "--size", "32", "--workers", "1"]


def test_a_run_and_a_run_again(heap: Path, tmp_path: Path) -> None:
    out = tmp_path / "a set"
    done = CliRunner().invoke(app, ["prepare", str(heap), str(out), *OPTIONS], catch_exceptions=False)
    assert done.exit_code == 0
    text = " ".join(done.output.split())
    assert "24 files, 24 new or changed" in text and "24 kept" in text and "report.html" in text
    assert f"kaogan train dcgan --data '{out}'" in text
    again = CliRunner().invoke(app, ["prepare", str(heap), str(out), *OPTIONS], catch_exceptions=False)
    assert "24 files, nothing new" in " ".join(again.output.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["only"], "name at least one source and then the folder"),
        (["a", "b", "--crop", "head"], "picture.crop"),
        (["a", "b", "--split", "train"], "NAME=SHARE"),
        (["a", "b", "--split", "train=0.5"], "sum to 1"),
        (["a", "b", "--size", "3"], "picture.size"),
        (["a", "b"], "no such folder, zip or tar"),
    ],
)
def test_mistakes(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        CliRunner().invoke(app, ["prepare", *words], catch_exceptions=False)
    assert "\n" not in str(caught.value)
