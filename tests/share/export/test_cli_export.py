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


def test_no_weights_are_overwritten_under_a_name_that_was_not_given(
    coded: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not the weights that a model was imported from, and a model by itself not even where it is named."""
    monkeypatch.chdir(tmp_path)
    coded.save("G_100")
    Path("G_100.pth").write_bytes(b"of another program")
    assert call("G_100 --to safetensors --out face.safetensors", monkeypatch, capsys)[0] == 0
    before = Path("face.safetensors").read_bytes()
    for words in (
        "G_100 --to state-dict --as acgan",
        "face.safetensors --to safetensors --half",
        "face.safetensors --to safetensors --half --out face.safetensors",
        "face.safetensors --to safetensors --half --out face",
        "face.safetensors --to state-dict --as acgan --out ./face.safetensors",
    ):
        code, said = call(words, monkeypatch, capsys)
        assert code == 2 and "name another place" in said and said.count("\n") == 1, said
    assert Path("G_100.pth").read_bytes() == b"of another program" and Path("face.safetensors").read_bytes() == before
    assert (
        call("G_100 --to safetensors --half --out face.safetensors", monkeypatch, capsys)[0] == 0
    )  # a name of its own
    for _ in range(2):  # what can be made again is
        assert call("G_100 --to onnx", monkeypatch, capsys)[0] == 0


def test_a_failed_push_is_repeated_by_the_same_command(
    coded: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    coded.save("tiny")
    pushed: list[str] = []

    class Api:
        trouble = True

        def create_repo(self, name: str, exist_ok: bool) -> str:
            if self.trouble:
                raise RuntimeError("401 Client Error")
            return f"https://hub/{name}"

        def upload_folder(self, *, folder_path: Path, repo_id: str, commit_message: str) -> None:
            pushed.append((folder_path / "README.md").read_text())

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    words = "tiny --to hub --license cc-by-4.0 --push me/faces"
    code, said = call(words, monkeypatch, capsys)
    assert code == 1 and "hf auth login; the folder tiny-hub is ready" in said and not pushed
    Api.trouble = False
    card = Path("tiny-hub/README.md")
    card.write_text(edited := f"{card.read_text()}Drawn by me.\n")
    code, said = call(words, monkeypatch, capsys)
    assert code == 0 and "https://hub/me/faces" in said and pushed == [edited]
    for other in (
        f"{words} --half",
        words.replace("4.0", "2.0"),
        words.replace("me/", "you/"),
        words.split(" --push")[0],
    ):
        code, said = call(other, monkeypatch, capsys)
        assert code == 2 and "tiny-hub exists" in said, said
    assert len(pushed) == 1
