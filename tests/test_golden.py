"""The part of the golden record that takes seconds; tools/record_golden.py compares all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kaogan.config import recipes
from tools import record_golden as golden
from tools.golden_cases import QUICK
from tools.golden_cases import TRAININGS as CASES

TRAINING, PICTURES = golden.read("training"), golden.read("pictures")


def comparable(file: dict[str, Any]) -> dict[str, Any]:
    if why := golden.differs_from(file["machine"]):
        pytest.skip(f"the golden record is of another machine or other libraries: {why}")
    return dict(file["record"])


def test_every_recipe_is_recorded() -> None:
    assert set(recipes.names()) <= TRAINING["record"].keys() == CASES.keys()


@pytest.mark.parametrize("case", QUICK)
def test_training(case: str, tmp_path: Path) -> None:
    recorded = comparable(TRAINING)
    assert golden.train_case(case, tmp_path / "run") == recorded[case]


@pytest.mark.parametrize("name", ["acgan", "stylegan2-64"])
def test_pictures(name: str) -> None:
    recorded = comparable(PICTURES)
    assert golden.picture_digests(name) == recorded[name]


def test_what_differs_is_said() -> None:
    old = {"a": [1.0, float("nan"), None], "b": "x", "c": "gone"}
    assert golden.differences(old, old) == []
    new = {"a": [1.0 + 1e-8, float("nan"), None], "b": "y", "d": 1.0}
    lines = golden.differences(old, new, "case")
    assert [line.split(":")[0] for line in lines] == ["case/c", "case/d", "case/a/0", "case/b"]
