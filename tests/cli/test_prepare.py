"""What ``kaogan prepare`` says."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from kaogan.cli import app
from kaogan.cli.prepare import SETTINGS, _tree
from kaogan.core.errors import UsageError
from kaogan.prepare.settings import PrepareSettings, describe, make_settings
from tests.prepare.conftest import faces, heap

__all__ = ["faces", "heap"]  # fixtures

OPTIONS = ["--crop", "none", "--no-tag", "--size", "32", "--workers", "1"]


def test_a_run_and_a_run_again(heap: Path, tmp_path: Path) -> None:
    out = tmp_path / "a set"
    (heap / "notes.txt").write_text("to do")
    done = CliRunner().invoke(app, ["prepare", str(heap), str(out), *OPTIONS], catch_exceptions=False)
    assert done.exit_code == 0
    text = " ".join(done.output.split())
    assert "24 picture files, 24 new or changed beside them 1 that are no pictures" in text
    assert "24 kept" in text and "report.html" in text
    assert f"kaogan train --data '{out}'" in text
    again = CliRunner().invoke(app, ["prepare", str(heap), str(out), *OPTIONS], catch_exceptions=False)
    assert "24 picture files, nothing new" in " ".join(again.output.split())


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


def test_the_options_are_the_settings() -> None:
    """One option for each setting, with its words and its default, and no default of its own."""
    names = [
        f"{section}.{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        else section
        for section, field in PrepareSettings.model_fields.items()
        for name in getattr(field.annotation, "model_fields", {"": None})
    ]
    assert sorted(setting for _, setting, _, _ in SETTINGS) == sorted(names)
    page = CliRunner().invoke(app, ["prepare", "--help"], env={"COLUMNS": "200"}).output
    for option, setting, _, _ in SETTINGS:
        words, default = describe(setting)
        line = next(line for line in page.splitlines() if f" {option.split('/')[0]} " in line)
        shown = option.removeprefix("--").split("/--")[0 if default else 1] if isinstance(default, bool) else default
        assert words[:20] in line and (default is None or f"[default: {shown}]" in line)


def test_only_what_is_named_is_set() -> None:
    given = {setting.replace(".", "_"): None for _, setting, _, _ in SETTINGS}
    assert make_settings(_tree(given)) == PrepareSettings()
    named = {"picture_size": "0", "twins_enabled": False, "split": "a=0.5,b=0.5", "blur_t1": "20", "labels": "kaogan"}
    made = make_settings(_tree({**given, **named}))
    assert (made.picture.size, made.twins.enabled, made.split, made.blur.t1) == (None, False, {"a": 0.5, "b": 0.5}, 20)
