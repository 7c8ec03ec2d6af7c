from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from kaogan import cli
from kaogan.data.avatars import write_set

TINY = ["--image-size", "16", "--batch-size", "8", "--images", "16", "--data.avatars", "24", "--latent.size", "8",
        "--generator.width", "4", "--discriminator.width", "4", "--run.grid_pictures", "4", "--device", "cpu",
        "--precision", "fp32"]  # fmt: skip
ROOT = Path(cli.__file__).parents[2]


class Said(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """``kaogan WORDS`` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["kaogan", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err and "\x1b" not in out + err, "plain when nobody watches"
        code = ended.value.code
        assert isinstance(code, int)
        return Said(code, out, err)

    return call


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with labelled ``faces``, and two runs: ``plain`` and ``labelled``."""
    folder = tmp_path_factory.mktemp("made")
    write_set(folder / "faces", 24, 16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAOGAN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        for name, recipe in (("plain", "dcgan"), ("labelled", "acgan")):
            patch.setattr(sys, "argv", ["kaogan", "train", recipe, *TINY, "--out", str(folder / name)])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert ended.value.code == 0
        yield folder


def refused(said: Said, code: int, *words: str) -> None:
    assert said.code == code, said
    assert said.err.startswith("kaogan: ") and said.err.count("\n") == 1 and said.err.endswith("\n"), said.err
    for word in words:
        assert word in said.err, said.err
