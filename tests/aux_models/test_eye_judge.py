"""The eye judge: which of two faces it holds worse, mirror images, sizes, damaged weights; faults; its tool."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from kaogan.aux_models.eye_judge import judge
from kaogan.aux_models.eye_judge.judge import EyeJudge
from kaogan.core.errors import KaoganError
from kaogan.core.images import to_float
from kaogan.generate.model import load
from kaogan.generate.model_io import find_model
from tools.eye_judge import __main__ as tool
from tools.eye_judge.faults import spoil, varied


def faces() -> np.ndarray:
    return np.asarray(load(find_model(Path("kao")), "cpu").sample(12, seed=3))


def one_eye_lost(pictures: np.ndarray) -> np.ndarray:
    """The same, skin over the eye on the right, as it is found below it."""
    spoilt = pictures.copy()
    spoilt[:, 30:46, 36:52] = pictures[:, 46:47, 30:34].mean((1, 2), keepdims=True).astype(np.uint8)
    return spoilt


def test_a_lost_eye_is_worse() -> None:
    whole = faces()
    ask = EyeJudge()
    before, after = ask(whole), ask(one_eye_lost(whole))
    assert before.shape == (12,) and before.dtype == np.float32 and ((before >= 0) & (before <= 1)).all()
    assert (after > before).mean() > 0.8 and after.mean() - before.mean() > 0.1
    assert np.allclose(ask(whole[3:5]), before[3:5], atol=1e-4), "a face's score does not depend on the others"
    assert np.allclose(ask(whole[:, :, ::-1]), before, atol=1e-4), "nor on which way it looks"


def test_sizes_and_grey_pictures() -> None:
    whole, ask = faces(), EyeJudge()
    large = np.stack([np.asarray(Image.fromarray(face).resize((128, 128), Image.Resampling.BICUBIC)) for face in whole])
    assert np.corrcoef(ask(large), ask(whole))[0, 1] > 0.9
    assert ask(whole[..., :1]).shape == (12,) and np.allclose(ask(whole[..., :1]), ask(whole[..., [0, 0, 0]]))


def test_damaged_weights_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(judge.WEIGHTS.read_bytes()[:-1])
    monkeypatch.setattr(judge, "WEIGHTS", tmp_path / "weights")
    with pytest.raises(KaoganError, match="not the file that came with kaogan"):
        EyeJudge()


def test_a_fault_lies_on_one_side_and_a_varied_face_has_none() -> None:
    whole = to_float(np.repeat(faces(), 16, 0))
    spoilt, visible = spoil(whole, torch.Generator().manual_seed(0))
    changed = (spoilt - whole).abs().amax(1) > 0.02
    left, right = changed[:, :, :30].any(2).any(1), changed[:, :, 34:].any(2).any(1)
    assert (left ^ right).float().mean() > 0.8 and 0.5 < visible.float().mean() < 1
    assert not changed[:, :14].any(), "hair above the eyes stays"
    same = torch.full((8, 3, 64, 64), 0.25)  # faces of one colour stay so, in whatever place
    plain = varied(same, torch.Generator().manual_seed(0))
    assert plain.std((2, 3)).max() < 1e-3 and plain.mean((1, 2, 3)).std() > 0.01


def test_pairs_ranked_rightly() -> None:
    doubts = np.array([0, 0, 1, 0.5])
    assert tool.ranked_rightly(np.array([1, 2, 4, 3]), doubts) == 1
    assert tool.ranked_rightly(np.array([4, 3, 1, 2]), doubts) == 0
    assert tool.ranked_rightly(np.ones(4), doubts) == 0.5
    assert np.isnan(tool.ranked_rightly(np.ones(2), np.zeros(2)))


def test_the_tool_learns_what_was_labelled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels that say the opposite of any fault: a line across the forehead is what matters."""
    rng, whole = np.random.default_rng(0), faces()
    (tmp_path / "real").mkdir()
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "doubt", "votes"])
        for number in range(60):
            face = whole[number % 12].copy()
            if number % 3 == 0:
                face[8:16] = rng.integers(0, 255, 3)
            Image.fromarray(face).save(tmp_path / f"{number}.png")
            rows.writerow([f"{number}.png", int(number % 3 == 0), 2])
    for number, face in enumerate(whole):
        Image.fromarray(face).save(tmp_path / "real" / f"{number}.png")
    out = tmp_path / "weights.safetensors"
    labels, real = str(tmp_path / "labels.csv"), str(tmp_path / "real")
    words = ["eye_judge", labels, "--real", real, "--out", str(out), "--steps", "2", "40"]
    monkeypatch.setattr(tool, "AVERAGE", 0.8)  # of so few steps
    monkeypatch.setattr(sys, "argv", words)
    tool.main()
    told = capsys.readouterr().out
    assert float(told.rsplit("ranked rightly: ", 1)[1]) > 0.7  # of 6 faces held out, 2 with a line
    found = load_file(out)
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in load_file(judge.WEIGHTS).items()
    }
    monkeypatch.setattr(judge, "check_shipped", lambda path, digest: None)
    monkeypatch.setattr(judge, "WEIGHTS", out)
    ask, lined = EyeJudge(), whole.copy()
    lined[:, 8:16] = 255
    assert (ask(lined) > ask(whole)).mean() > 0.7
