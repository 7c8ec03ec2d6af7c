"""The eye judge: which of two faces it holds worse, other sizes, damaged weights, and the tool that learns it."""

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
from kaogan.generate.model import load
from kaogan.generate.model_io import find_model
from tools import fit_eye_judge


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
    assert before.shape == (12,) and before.dtype == np.float32
    assert (after > before).mean() > 0.8 and after.mean() - before.mean() > 0.1
    assert np.allclose(ask(whole[3:5]), before[3:5], atol=1e-4), "a face's score does not depend on the others"


def test_sizes_and_grey_pictures() -> None:
    whole, ask = faces(), EyeJudge()
    large = np.stack([np.asarray(Image.fromarray(face).resize((128, 128), Image.Resampling.BICUBIC)) for face in whole])
    assert np.corrcoef(ask(large), ask(whole))[0, 1] > 0.9
    assert np.isfinite(ask(whole[..., :1])).all()


def test_damaged_weights_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(judge.WEIGHTS.read_bytes()[:-1])
    monkeypatch.setattr(judge, "WEIGHTS", tmp_path / "weights")
    with pytest.raises(KaoganError, match="not the file that came with kaogan"):
        EyeJudge()


def test_the_tool_learns_what_was_labelled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = faces()
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "group", "score"])
        for number, face in enumerate([*whole, *one_eye_lost(whole)]):
            Image.fromarray(face).save(tmp_path / f"{number}.png")
            rows.writerow([f"{number}.png", "ab"[number % 2], 2 * (number >= len(whole))])
    monkeypatch.setattr(fit_eye_judge, "VARIANTS", 2)
    out = tmp_path / "weights.safetensors"
    monkeypatch.setattr(sys, "argv", ["fit_eye_judge", str(tmp_path / "labels.csv"), "--out", str(out)])
    fit_eye_judge.main()
    told = capsys.readouterr().out
    assert float(told.split("piles not learnt from: ")[1].split()[0]) > 0.8
    found = load_file(out)
    assert found["weight"].shape == load_file(judge.WEIGHTS)["weight"].shape and found["bias"].shape == ()
    monkeypatch.setattr(judge, "_weights", lambda: (found["weight"].float(), found["bias"]))
    ask = EyeJudge()
    assert (ask(one_eye_lost(whole)) > ask(whole)).all()
    assert torch.isfinite(found["weight"]).all()
