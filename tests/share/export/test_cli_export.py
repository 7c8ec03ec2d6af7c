"""kaogan export: which option belongs to which kind, and what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

from kaogan import cli
from kaogan.generate.model import Model


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("kao-sr --to onnx --scale 3", "no scale 3"),
        ("tiny --to onnx --scale 4", "--scale is for upscalers"),
        ("tiny --to hub --upscale", "--upscale is for web, not for hub"),
        ("tiny --to onnx --single-file", "--single-file is for web, not for onnx"),
        ("tiny --to web --single-file --out page", "ends in .html"),
        ("tiny --to web --scale 4", "--scale is for onnx, not for web"),
        ("tiny --to web --seed -1", "from 0 to 2^53 - 1"),
        ("tiny --to web --seed text", "invalid value for '--seed'"),
        ("tiny --to web --upscaler nothing.onnx", "nothing.onnx: No such file"),
        ("tiny --to onx", "unknown kind 'onx' (did you mean 'onnx'?)"),
        ("nothing --to onnx", "no such folder nothing"),
        ("tiny --to web --out tiny", "tiny exists"),
    ],
)
def test_mistakes_are_one_line(
    words: str, expected: str, coded: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    coded.save("tiny")
    code, said = call(words, monkeypatch, capsys)
    assert code in (1, 2) and expected in said and said.count("\n") == 1, said
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_an_upscaler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = call("kao-sr --to onnx --scale 2 --size 16", monkeypatch, capsys)
    assert code == 0 and said.splitlines()[0] == "kao-sr.onnx" and "agrees with PyTorch" in said
    (given,) = onnx.load("kao-sr.onnx").graph.input
    assert [each.dim_value for each in given.type.tensor_type.shape.dim][1:] == [3, 16, 16]


def call(words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["kaogan", "export", *words.split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out + err
