"""Models, runs and recipe files of the last release still load, and mean the same (tools/make_last_release.py)."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

import kaogan
from kaogan.config import recipes
from tools import record_golden as golden

FOLDER = golden.GOLDEN / "last_release"
PICTURES = FOLDER / "pictures.zip"
EXPECTED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))
# Digests hold on one kind of machine; that the files load is tested on every one.
SAME_MACHINE = not golden.differs_from(EXPECTED["machine"])


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The run folder of a family as the last release left it."""
    family = request.param
    with zipfile.ZipFile(FOLDER / "runs.zip") as file:
        file.extractall(tmp_path, [name for name in file.namelist() if name.startswith(f"{family}/")])
    # A checkout gives the archive another time, and with it the fingerprint of changed data.
    record = tmp_path / family / "data.json"
    data = json.loads(record.read_text(encoding="utf-8"))
    data["fingerprint"] = kaogan.load_data(recipes.load(tmp_path / family / "recipe.yaml"), PICTURES).fingerprint
    record.write_text(json.dumps(data), encoding="utf-8")
    return tmp_path / family


every_family = pytest.mark.parametrize("run", EXPECTED["models"], indirect=True)


@every_family
def test_a_model_draws_the_same_pictures(run: Path) -> None:
    pictures = kaogan.load(run / "model").sample(2, seed=3)
    assert pictures.shape[0] == 2 and pictures.std() > 0
    if SAME_MACHINE:
        assert golden.array_digest(pictures) == EXPECTED["models"][run.name]


@every_family
def test_a_run_goes_on_with_the_same_step(run: Path) -> None:
    (before,) = run.glob("checkpoints/*.safetensors")
    kaogan.train(run / "recipe.yaml", PICTURES, run, images=24)
    assert max(run.glob("checkpoints/*.safetensors")).name > before.name
    clocks = [json.loads(line)["clock"] for line in (run / "stats.jsonl").read_text(encoding="utf-8").splitlines()]
    assert clocks == [8, 16, 24]
    if SAME_MACHINE:
        assert golden.checkpoint_digest(run) == EXPECTED["resumed"][run.name]


@pytest.mark.parametrize("recipe", EXPECTED["recipes"])
def test_a_recipe_file_means_the_same(recipe: str, tmp_path: Path) -> None:
    """These files use every setting that was renamed since, under its old name."""
    kaogan.train(FOLDER / f"{recipe}.yaml", PICTURES, tmp_path / "run")
    assert list((tmp_path / "run" / "checkpoints").iterdir())
    if SAME_MACHINE:
        assert golden.checkpoint_digest(tmp_path / "run") == EXPECTED["recipes"][recipe]
