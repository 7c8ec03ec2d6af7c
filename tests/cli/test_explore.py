"""The explore commands: what they write, the same bytes for the same words, and one clear line for every mistake."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kaogan import cli
from kaogan.generate.explore import load_directions
from tests.generate.explore.conftest import FAMILIES

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("z", "codes", "stylegan2"):
        FAMILIES[name]().save(folder / name)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path) -> Run:
    """``kaogan explore WORDS`` or ``kaogan sample WORDS`` in an empty folder; z, codes and stylegan2 name models."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object, group: bool = True) -> tuple[int, str]:
        words = ("explore", *words) if group and words[0] != "sample" else words
        named = [str(folder / word) if word in ("z", "codes", "stylegan2") else str(word) for word in words]
        monkeypatch.setattr(sys, "argv", ["kaogan", *named])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(ended.value.code or 0), out + err

    return call


CALLS = [
    ("interpolate z --out a.png --steps 5 --rows 2", (5 * 18 + 2, 2 * 18 + 2)),
    ("interpolate codes --out a.png --hair pink,blue --size 32 --resize nearest", (8 * 34 + 2, 36)),
    ("interpolate stylegan2 --out a.png --space w --steps 3", (3 * 18 + 2, 20)),
    ("walk z --out a.gif --faces 2 --steps 3 --loop --size 16", (16, 16)),
    ("walk z --out a.webp --faces 2 --steps 2", (256, 256)),
    ("walk codes --out a.gif --faces 2 --steps 2 --tiles 4 --hair pink --size 20", (46, 46)),
    ("sweep z --out a.png --steps 3", (3 * 18 + 2, 3 * 18 + 2)),
    ("sweep codes --out a.png --steps 3 --across hair=blue --down eyes=red", (56, 56)),
    ("sweep codes --out a.png --steps 3 --across 2 --down none", (56, 20)),
    ("mix codes --out a.png --rows 1 --columns 2 --take hair", (3 * 18 + 2, 2 * 18 + 2)),
    ("mix stylegan2 --out a.png --rows 1 --columns 2 --layers fine", (56, 38)),
    ("mix z --out a.png --rows 1 --columns 2", (56, 38)),
    ("morph codes --out a.png --along hair --rows 2", (12 * 18 + 2, 38)),
    ("morph codes --out a.gif --along hair --values pink,blue --steps 2 --loop", (256, 256)),
    ("morph z --out a.png --weights 0,0.3,1", (56, 20)),
    ("best z --out a.png --count 3 --of 8", (56, 20)),
    ("directions z --out d.safetensors --count 2 --sheet a.png --method pca --samples 20", None),
]


@pytest.mark.parametrize(("words", "size"), CALLS, ids=[words for words, _ in CALLS])
def test_each_verb_writes_the_same_bytes_again(run: Run, words: str, size: tuple[int, int] | None) -> None:
    code, said = run(*words.split())
    assert code == 0, said
    path = next(Path().glob("a.*"))
    assert path.name in said
    with Image.open(path) as picture:
        assert size is None or picture.size == size
    before = path.read_bytes()
    assert run(*words.split())[0] == 0 and path.read_bytes() == before
    if words.startswith("interpolate"):
        code, said = run(*words.split(), "--seed", "1")
        assert code == 0 and path.read_bytes() != before, "another seed, another picture"
    assert len(list(Path().iterdir())) == (2 if words.startswith("directions") else 1)


def test_directions_are_found_and_used(run: Run) -> None:
    assert run("directions", "z", "--count", 3)[0] == 0
    assert load_directions("directions.safetensors").names == ("sefa-1", "sefa-2", "sefa-3")
    words = ("sweep", "z", "--directions", "directions.safetensors", "--across", "sefa-1", "--steps", 3, "--span", 4)
    code, said = run(*words)
    assert code == 0, said
    strip = np.asarray(Image.open("sweep.png"))
    assert strip.shape[:2] == (20, 56)
    code, said = run("sample", "z", "--count", 1)
    assert (strip[:, 18:38] == np.asarray(Image.open("samples.png"))).all(), "the middle is the plain sample"


def test_a_picture_is_projected_and_changed(run: Run) -> None:
    assert run("sample", "codes", "--count", 1, "--seed", 4)[0] == 0
    code, said = run("project", "codes", "samples.png", "--steps", 3, "--hair", "white", "--out", "a.png")
    assert code == 0 and "picture: hair " in said and "changed: hair " in said, said
    with Image.open("a.png") as sheet:
        assert sheet.size == (56, 20)
        alone = np.asarray(sheet)
    Path("two").mkdir()
    for name in ("1.png", "2.png"):
        Path("two", name).write_bytes(Path("samples.png").read_bytes())
    code, said = run("project", "codes", "two", "samples.png", "--steps", 3, "--hair", "white", "--out", "b.png")
    assert code == 0 and "two/2.png changed: hair " in said and "samples.png found: " in said, said
    rows = np.asarray(Image.open("b.png"))
    assert rows.shape[:2] == (3 * 18 + 2, 56)
    assert all((rows[top : top + 20] == alone).all() for top in (0, 18, 36)), "each as it is alone"
    assert run("project", "codes", "two", "--steps", 3, "--out", "b.gif", "--size", 16)[0] == 0
    with Image.open("b.gif") as film:
        assert film.size == (38, 38)
    assert run("project", "z", "samples.png", "--steps", 3, "--out", "film.gif", "--size", 16)[0] == 0
    with Image.open("film.gif") as film:
        assert film.size == (38, 20)


MISTAKES = [
    ("walk", "name the folder of a run or of a model"),
    ("walk nowhere", "no such folder nowhere"),
    ("walk z --faces 0", "faces must be 2 or more, not 0"),
    ("walk z --faces 1000000", "at most 20,000"),
    ("walk z --seed text", "invalid value for '--seed'"),
    ("walk z --fps 0", "between 0.1 and 240"),
    ("walk z --out film.mov", "cannot write .mov"),
    ("walk z --size 0", "between 1 and 4096 px, not 0"),
    ("walk z --size 4096 --tiles 4", "wider than 4096"),
    ("walk z --truncation -1", "truncation must be"),
    ("walk z --resize sharp", "unknown way to resize 'sharp'"),
    ("walk z --space w", "no styles w"),
    ("walk z --hair pink", "trained without attributes"),
    ("walk codes --hair pinc", "did you mean 'pink'"),
    ("walk codes --hare pink", "unknown attribute 'hare' (did you mean 'hair'?)"),
    ("walk codes --lop x", "did you mean '--loop'"),
    ("interpolate z --steps -3", "steps must be 2 or more, not -3"),
    ("interpolate z --from -1", "must be 0 or more, not -1"),
    ("sweep z --across 99", "numbered 0 to 5"),
    ("sweep z --across smile --directions nothing", "nothing"),
    ("mix z --what styles", "no styles w"),
    ("mix codes --out film.mp4", "a mix is a sheet"),
    ("morph z --along year", "trained without attributes"),
    ("morph z --weights a,b", "give numbers"),
    ("morph z --steps 3", "--steps goes with --along"),
    ("morph z --rows 1", "--rows goes with --along"),
    ("morph z --values pink", "--values goes with --along"),
    ("morph z --loop", "--loop goes with --along"),
    ("morph codes --along hair --to 0", "--to goes without --along"),
    ("morph codes --along hair --weights 0,1", "--weights goes without --along"),
    ("best z --count 9 --of 8", "at most 8, not 9"),
    ("best z --by discriminator", "holds no checkpoint"),
    ("best z --by precision", "--data SET"),
    ("directions z --count 0", "directions must be 1 or more"),
    ("directions z --method best", "unknown method 'best'"),
    ("project z", "name a model and a picture"),
    ("project z nothing.png", "nothing.png: cannot be opened"),
    ("project z /dev/null", "/dev/null"),
    ("project z --hair blue", "name a model and a picture"),
    ("project z . ", "no pictures in ."),
    ("project z nothing.png --hare blue", "did you mean 'hair'"),
    ("project codes nothing.png --hair bleu", "unknown hair 'bleu' (did you mean 'blue'?)"),
    ("project z nothing.png --strength nan", "the strength must be a number, not nan"),
]


def test_old_names_work_with_a_notice(run: Run) -> None:
    """The commands without ``explore``, and --law: the same bytes as under the new names."""
    assert run("interpolate", "z", "--steps", 4, "--interpolation", "linear") == (0, "interpolation.png\n")
    before = Path("interpolation.png").read_bytes()
    for option in (["--law", "linear"], ["--law=linear"]):
        code, said = run("interpolate", "z", "--steps", 4, *option)
        assert (code, said) == (0, "interpolation.png\nnote: --law is now called --interpolation\n")
        assert Path("interpolation.png").read_bytes() == before
    assert run("interpolate", "z", "--steps", 4)[0] == 0 and Path("interpolation.png").read_bytes() != before
    code, said = run("interpolate", "z", "--steps", 4, "--interpolation", "linear", group=False)
    assert code == 0 and "note: 'kaogan interpolate' is now called 'kaogan explore interpolate'\n" in said
    assert Path("interpolation.png").read_bytes() == before


@pytest.mark.parametrize(("words", "expected"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_mistakes_are_one_line(run: Run, words: str, expected: str) -> None:
    code, said = run(*words.split())
    assert code in (1, 2) and expected in said and said.count("\n") == 1, said
    assert not list(Path().iterdir()), "nothing half-written"
