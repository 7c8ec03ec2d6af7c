"""Counting blind: each face lies where the key says, answers become shares, missing ones are told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import blind_count
from kaogan.core.errors import UsageError
from kaogan.core.schema import Schema
from kaogan.generate.model import load
from tests.generate.conftest import tiny_model


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """The sheets of a folder of red pictures and of a model."""
    (tmp_path / "real").mkdir()
    for number in range(12):
        Image.new("RGB", (64, 64), (250, number, 0)).save(tmp_path / "real" / f"{number}.png")
    tiny_model(Schema()).save(tmp_path / "tiny")
    blind_count.sheets(
        tmp_path / "count",
        [str(tmp_path / "tiny"), f"{tmp_path / 'tiny'}@1"],
        tmp_path / "real",
        count=14,
        real=5,
        seed=2,
    )
    return tmp_path / "count"


def shown(folder: Path, number: int) -> np.ndarray:
    """The face with this number, 192 px."""
    page, place = divmod(number - 1, 30)
    x, y = 10 + place % 6 * 202, 10 + place // 6 * 218 + 16
    return np.asarray(Image.open(folder / f"sheet_{page + 1:03}.png"))[y : y + 192, x : x + 192]


def test_faces_lie_where_the_key_says(counted: Path) -> None:
    key = json.loads((counted / "key.json").read_text())
    assert sorted(set(key)) == ["real", "tiny", "tiny, keep 1"] and len(key) == 33
    red = [(shown(counted, number)[..., 0] > 240).all() for number in range(1, 34)]
    assert [name == "real" for name in key] == red and sum(red) == 5
    drawn = np.asarray(load(str(counted.parent / "tiny")).sample(14, seed=2, keep=1))
    seen = {shown(counted, number + 1).tobytes() for number, name in enumerate(key) if name == "tiny"}
    assert seen == {np.asarray(blind_count.large(face)).tobytes() for face in drawn}
    with pytest.raises(UsageError, match="is there already"):
        blind_count.sheets(counted, ["kao"], counted.parent / "real")


def test_answers_become_shares(counted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = json.loads((counted / "key.json").read_text())
    one = {str(number + 1): "A" if name == "real" else "C" for number, name in enumerate(key)}
    other = one | {str(key.index("real") + 1): "B"}
    for name, answers in (("one", one), ("other", other)):
        (counted / f"{name}.json").write_text(json.dumps(answers))
    blind_count.table(counted, [counted / "one.json", counted / "other.json"])
    told = capsys.readouterr().out
    assert "| real | 5 | 100 % (57 … 100), 80 % (38 … 96) | 0 % (0 … 43), 20 %" in told
    assert "| tiny | 14 | 0 % (0 … 22), 0 % (0 … 22) |" in told
    assert "Counters 1 and 2 agree whether eyes match: 97 %" in told


@pytest.mark.parametrize(("answers", "word"), [({"1": "A"}, "no answer"), ([], "no answer"), ("D", "A, B or C, not D")])
def test_wrong_answers_are_told(tmp_path: Path, answers: object, word: str) -> None:
    content = {str(number): answers for number in range(1, 4)} if answers == "D" else answers
    (tmp_path / "answers.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match=word):
        blind_count.read_answers(tmp_path / "answers.json", 3)
