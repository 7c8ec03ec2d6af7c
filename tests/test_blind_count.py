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


@pytest.fixture(params=[3, 1], ids=["colour", "grey"])
def counted(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The sheets of a folder of white pictures and of a model."""
    (tmp_path / "real").mkdir()
    for number in range(12):
        Image.new("RGB", (64, 64), (250 - number,) * 3).save(tmp_path / "real" / f"{number}.png")
    tiny = tmp_path / "tiny"
    tiny_model(Schema(()), channels=request.param).save(tiny)
    blind_count.sheets(tmp_path / "count", [str(tiny), f"{tiny}@1"], tmp_path / "real", count=14, real=5, seed=2)
    return tmp_path / "count"


def shown(folder: Path, number: int) -> bytes:
    """The face with this number, 192 px."""
    page, place = divmod(number - 1, 30)
    x, y = 10 + place % 6 * 202, 10 + place // 6 * 218 + 16
    return Image.open(folder / "sheets" / f"{page + 1:03}.png").crop((x, y, x + 192, y + 192)).tobytes()


def test_faces_lie_where_the_key_says(counted: Path) -> None:
    key = json.loads((counted / "key.json").read_text())
    tiny = str(counted.parent / "tiny")
    assert sorted(set(key)) == sorted([blind_count.REAL, tiny, f"{tiny}@1"]) and len(key) == 33
    white = [min(shown(counted, number)) > 230 for number in range(1, 34)]
    assert [name == blind_count.REAL for name in key] == white and sum(white) == 5
    for row, name in enumerate((tiny, f"{tiny}@1")):
        drawn = np.asarray(load(tiny).sample(14, seed=2 + row, keep=1))
        seen = {shown(counted, number + 1) for number, of in enumerate(key) if of == name}
        assert seen == {blind_count.large(face).tobytes() for face in drawn}
    with pytest.raises(UsageError, match="is there already"):
        blind_count.sheets(counted, ["kao"], counted.parent / "real")
    with pytest.raises(UsageError, match="named twice"):
        blind_count.sheets(counted / "new", [tiny, tiny], counted.parent / "real", count=2)
    with pytest.raises(UsageError, match="has 12 pictures, not 50"):
        blind_count.sheets(counted / "new", [tiny], counted.parent / "real", count=2)
    with pytest.raises(UsageError, match="holds no count"):
        blind_count.table(counted.parent, [])
    with pytest.raises(UsageError, match="different sizes"):
        blind_count.sheets(counted / "new", [tiny, "kao"], counted.parent / "real", count=2)


def test_answers_become_shares(counted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = json.loads((counted / "key.json").read_text())
    one = {str(number + 1): "A" if name == blind_count.REAL else "C" for number, name in enumerate(key)}
    other = one | {str(key.index(blind_count.REAL) + 1): "B"}
    for name, answers in (("one", one), ("other", other)):
        (counted / f"{name}.json").write_text(json.dumps(answers))
    blind_count.table(counted, [counted / "one.json", counted / "other.json"])
    told = capsys.readouterr().out
    assert "| real pictures | 5 | 100 % (57 … 100), 80 % (38 … 96) | 0 % (0 … 43), 20 %" in told
    assert "tiny@1 | 14 | 0 % (0 … 22), 0 % (0 … 22) |" in told
    assert "Counters 1 and 2 agree whether eyes match: 97 %" in told


def test_a_model_and_its_share() -> None:
    assert blind_count.model_and_keep("runs/kao") == ("runs/kao", 1)
    assert blind_count.model_and_keep("a@b/kao@0.25") == ("a@b/kao", 0.25)
    with pytest.raises(UsageError, match=r"kao@half: behind @ .*kao@0\.5"):
        blind_count.model_and_keep("kao@half")


@pytest.mark.parametrize(
    ("answers", "word"),
    [({"1": "A"}, "none for 2, 3"), ([], "none for 1, 2, 3"), ("D", "face 1: .* A, B or C, not D"),
     ({str(number): "A" for number in range(1, 5)}, "some for other faces")],
)  # fmt: skip
def test_wrong_answers_are_told(tmp_path: Path, answers: object, word: str) -> None:
    content = {str(number): answers for number in range(1, 4)} if answers == "D" else answers
    (tmp_path / "answers.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match=word):
        blind_count.read_answers(tmp_path / "answers.json", 3)
