"""From Python: train and load, as the package's own description says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kaogan
from kaogan import api
from kaogan.config import recipes
from kaogan.core.training_loop import TrainResult
from kaogan.training import data
from tests.small import small

SETTINGS: dict[str, Any] = {
    "image_size": 16, "batch_size": 8, "images": 16, "device": "cpu", "precision": "fp32", "latent": {"size": 8},
    "data.avatars": 24, "generator": {"width": 4}, "discriminator.width": 4, "run": {"grid_pictures": 4},
}  # fmt: skip


def test_train_returns_the_model(tmp_path: Path) -> None:
    told = []
    model = kaogan.train("acgan", out=tmp_path / "run", on_progress=told.append, **SETTINGS)
    assert isinstance(model, kaogan.Model) and model.path == tmp_path / "run/model"
    pictures = model.sample(5, hair="pink", seed=0)
    assert pictures.shape == (5, 16, 16, 3) and pictures.dtype == np.uint8
    assert np.array_equal(kaogan.load(tmp_path / "run").sample(5, hair="pink", seed=0), pictures)
    assert [step.images_seen for step in told] == [16]
    resolved = recipes.load(tmp_path / "run/recipe.yaml")
    assert resolved.latent.size == 8 and resolved.training.batch_size == 8
    assert resolved.generator.width == resolved.discriminator.width == 4  # type: ignore[union-attr]
    again = kaogan.train("acgan", out=str(tmp_path / "run"), **SETTINGS | {"images": 24})
    assert again.config["clock"] == 24
    with pytest.raises(kaogan.UsageError, match=r"optim\.lr was"):
        kaogan.train("acgan", out=tmp_path / "run", **SETTINGS, optim={"lr": 0.5})
    assert kaogan.train("acgan", out=tmp_path / "run", allow_changes=True, **SETTINGS, **{"optim.lr": 1e-3}).path


@pytest.mark.parametrize("kind", ["mapping", "path", "text"])
def test_recipes_of_ones_own(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = recipes.load(small("sagan").to_dict(), {"images": 8, "name": "mine"})
    (tmp_path / "mine.yaml").write_text(recipes.dump(recipe))
    given = {"mapping": recipe.to_dict(), "path": tmp_path / "mine.yaml", "text": "mine.yaml"}[kind]
    model = kaogan.train(given)  # type: ignore[arg-type]
    assert model.path == Path("runs/mine/model") and (tmp_path / "runs/mine/recipe.yaml").exists()


def test_data_of_ones_own(tmp_path: Path) -> None:
    from kaogan.data.avatars import write_set

    write_set(tmp_path / "my faces", 10, 16)
    model = kaogan.train("dcgan", data=tmp_path / "my faces", out=tmp_path / "run", **SETTINGS)
    assert model.config["data"]["count"] == 10
    pictures = kaogan.load_data(recipes.load("acgan", SETTINGS), tmp_path / "my faces")
    assert len(pictures.images) == 10 and pictures.schema.names == ("hair", "eyes")


def test_merged_values(tmp_path: Path) -> None:
    merge = {"hair": {"warm": ["red", "orange"], "cold": ["blue", "aqua"]}}
    pictures = api.load_data(recipes.load("acgan", SETTINGS | {"attributes.merge": merge, "data.avatars": 120}))
    assert pictures.schema["hair"].values == ("warm", "cold") and pictures.schema["eyes"].values != ()
    counts = np.bincount(pictures.labels[:, 0] + 1)
    assert counts.tolist() == [80, 20, 20], "every hair ten times; what no group names is unknown"
    model = kaogan.train("acgan", out=tmp_path / "run", **SETTINGS | {"attributes.merge": merge})
    assert model.sample(2, hair="warm").shape == (2, 16, 16, 3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"batch_size": 0}, "'training.batch_size'"),
        ({"image_size": 20}, "cannot make 20 px"),
        ({"device": "cuda:77"}, "no device 'cuda:77'"),
        ({"learning_rate": 1}, "unknown key 'learning_rate'"),
    ],
)
def test_mistakes_are_told_before_any_data_is_read(
    settings: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(data, "load_pictures", lambda *_, **__: pytest.fail("data was read"))
    with pytest.raises(kaogan.UsageError, match=words):
        kaogan.train("dcgan", out=tmp_path / "run", **SETTINGS | settings)
    assert not (tmp_path / "run").exists()


def test_an_interrupted_training_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "run_training", lambda *_, **__: TrainResult(8, False, 1.0, tmp_path))
    with pytest.raises(kaogan.KaoganError, match="interrupted at 8 images; the same call again goes on"):
        kaogan.train("dcgan", out=tmp_path / "run", **SETTINGS)


def test_the_package_names_what_it_has() -> None:
    assert all(hasattr(kaogan, name) for name in kaogan.__all__)
    assert issubclass(kaogan.UsageError, kaogan.KaoganError)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kaogan.nothing  # noqa: B018
