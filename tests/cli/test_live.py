"""``kaogan live``: what it writes and says, with motions that are known, and one clear line for every mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from kaogan.generate.explore import motions as search
from kaogan.generate.explore.motions import Motions
from tests.cli.conftest import Run, refused
from tests.generate.explore.conftest import FAMILIES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("codes", "stylegan2"):
        FAMILIES[name]().save(folder / name)
    return folder


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """Two motions are found, one is not; the calls."""
    calls: list[dict] = []

    def found(model, point, **words) -> Motions:
        calls.append({"truncation": float(point.z.norm()), **words})
        start = point.z if point.w is None else point.w
        steps = (0.5 * torch.ones_like(start), -0.3 * torch.ones_like(start))
        return Motions(point, {"turn": steps, "breath": steps[:1]}, {"turn": 0.62, "breath": 0.8, "blink": 0.1}, 0.25)

    monkeypatch.setattr(search, "find_motions", found)
    return calls


@pytest.mark.parametrize("model", ["codes", "stylegan2"])
def test_the_loop_is_written_twice_the_same(run: Run, folder: Path, known: list[dict], model: str) -> None:
    words = ("live", folder / model, "--seconds", 1, "--fps", 8, "--size", 20, "--hair", "pink", "--out", "a.gif")
    said = run(*words, "--seed", 7, "--steps", 5)
    assert said.code == 0 and "turn 62 %, breath 80 %, blink: this model does not know it (10 %)\n" in said.out, said
    told = re.search(r"EfficientNet.* at most (0\.\d{3}); between two faces of this model (0\.\d{3})\n", said.out)
    assert "a.gif\n" in said.out and told and all(0 < float(distance) < 1 for distance in told.groups())
    with Image.open("a.gif") as film:
        assert film.n_frames == 8 and film.size == (20, 20)
    before = Path("a.gif").read_bytes()
    assert run(*words, "--seed", 7).code == 0 and Path("a.gif").read_bytes() == before
    assert run(*words, "--seed", 7, "--face", 1).code == 0 and Path("a.gif").read_bytes() != before
    assert [each["steps"] for each in known] == [5, 60, 60]


def test_a_sheet_has_all_frames(run: Run, folder: Path, known: list[dict]) -> None:
    said = run("live", folder / "codes", "--seconds", 2, "--fps", 10, "--out", "a.png", "--truncation", 0.5)
    assert said.code == 0, said
    with Image.open("a.png") as sheet:
        assert sheet.size == (16 * 18 + 2, 2 * 18 + 2)


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ("", 2, "name the folder of a run or of a model, as in: kaogan live"),
        ("MODEL --seconds 0", 2, "1 to 120 seconds"),
        ("MODEL --fps 1000", 2, "frames a second"),
        ("MODEL --span 9", 2, "span must be above 0 and at most 2"),
        ("MODEL --size 0", 2, "between 1 and 4096 px"),
        ("MODEL --out film.mov", 2, "cannot write .mov"),
        ("MODEL --out sheet.png --seconds 120 --size 4000", 2, ""),
        ("MODEL --truncation -1", 2, "truncation must be"),
        ("MODEL --face -1", 2, "must be 0 or more"),
        ("MODEL --steps 0", 2, "steps must be 1 or more"),
        ("MODEL --hare pink", 2, "did you mean 'hair'"),
        ("MODEL", 2, "no face is seen"),
    ],
)
def test_mistakes_are_one_line(run: Run, folder: Path, words: str, code: int, expected: str) -> None:
    said = run("live", *words.replace("MODEL", str(folder / "codes")).split())
    refused(said, code, expected)
    assert not list(Path().iterdir()), "nothing half-written"


def test_a_face_that_cannot_move_is_an_error(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "find_motions", lambda model, point, **words: Motions(point, {}, {"turn": -0.2}, 0.3))
    said = run("live", folder / "codes", "--out", "a.gif")
    assert said.code == 1 and "nothing of this face moves" in said.err and not Path("a.gif").exists()
