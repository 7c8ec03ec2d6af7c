"""Best-of-N ranking: the order of the scores, and scorers compared with slow implementations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kaogan.aux_models.tagger import load_tagger
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.images import to_float
from kaogan.core.schema import Schema
from kaogan.data import load_pictures
from kaogan.generate.explore import rank, render, scorer_for
from kaogan.generate.explore.ranking import realism_score
from kaogan.generate.model import Model, load
from kaogan.training import plots
from tests.generate.conftest import tiny_model
from tests.small import small, train


def brightness(pictures: np.ndarray, conditions: torch.Tensor | None) -> np.ndarray:
    return pictures.astype(float).mean((1, 2, 3))


def test_the_best_are_those_of_the_seed_in_order(coded: Model) -> None:
    found = rank(coded, brightness, 5, 70, seed=2, truncation=0.8, hair="pink")
    everything = coded.sample(70, seed=2, truncation=0.8, hair="pink")
    scores = brightness(everything, None)
    assert np.allclose(found.scores, scores)
    assert found.numbers.tolist() == sorted(range(70), key=lambda k: -scores[k])[:5]
    assert (render(coded, found.points, 0.8) == everything[found.numbers]).all()
    tied = rank(coded, lambda pictures, conditions: np.zeros(len(pictures)), 3, 40)
    assert tied.numbers.tolist() == [0, 1, 2]


@pytest.mark.parametrize("recipe_name", ["acgan", "kao"])
def test_a_run_is_judged_by_its_discriminator(
    recipe_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "film", lambda *_: None)
    outcome = train(small(recipe_name), tmp_path / "run")
    model = load(outcome.path)
    word, score = scorer_for(None, model, outcome.path)
    assert word == "discriminator"
    pictures = model.sample(6)
    from kaogan.config import recipes
    from kaogan.core import checkpoint
    from kaogan.networks import build_discriminator

    recipe = recipes.load(outcome.path / "recipe.yaml")
    network = build_discriminator(
        recipe.discriminator, attribute_sizes=model.attributes.sizes, image_size=16, channels=3
    ).eval()
    tensors, _ = checkpoint.load(checkpoint.find(outcome.path / "checkpoints")[-1])
    network.load_state_dict({k[14:]: v for k, v in tensors.items() if k.startswith("discriminator/")})
    with torch.no_grad():
        scores = network(to_float(pictures)).scores.numpy()
    expected = scores.mean(1) if recipe_name == "kao" else scores  # of its heads
    assert np.allclose(score(pictures, None), expected) and expected.std() > 0
    with pytest.raises(UsageError, match="holds no checkpoint"):
        scorer_for("discriminator", model, outcome.path / "model")


def test_realism_is_that_of_the_paper() -> None:
    real = load_pictures(None, image_size=16, avatar_count=40)
    fakes = tiny_model(Schema()).sample(6)
    probes = np.concatenate([fakes, real.images[:4]])
    scores = realism_score(real)(probes, None)
    features = load_tagger().predict(np.asarray(real.images)).features.astype(float)
    radii = np.array([np.sort(np.linalg.norm(features - f, axis=1))[3] for f in features])
    kept = radii <= np.median(radii)
    for probe, score in zip(load_tagger().predict(probes).features.astype(float), scores, strict=True):
        distances = np.linalg.norm(features - probe, axis=1)
        with np.errstate(divide="ignore"):
            assert score == pytest.approx((radii / np.maximum(distances, 1e-12))[kept].max(), rel=1e-3)
    assert scores[:6].max() < 1, "an untrained network is far from any face"


def test_quality_likes_faces(plain: Model, tmp_path: Path) -> None:
    word, score = scorer_for(None, plain, tmp_path)
    real = load_pictures(None, image_size=64, avatar_count=8)
    assert word == "quality" and score(np.asarray(real.images), None).mean() > score(plain.sample(8), None).mean()
    grey = tiny_model(Schema(), channels=1)
    assert score(grey.sample(3), None).shape == (3,)


def test_mistakes_are_told(plain: Model, tmp_path: Path) -> None:
    for call, words in [
        (lambda: rank(plain, brightness, 0, 5), "must be 1 or more, not 0"),
        (lambda: rank(plain, brightness, 6, 5), "at most 5, not 6"),
        (lambda: rank(plain, brightness, 1, 10**9), "at most 1,000,000"),
        (lambda: scorer_for("qualty", plain, tmp_path), "did you mean 'quality'"),
        (lambda: scorer_for("precision", plain, tmp_path), "--data SET"),
    ]:
        with pytest.raises(UsageError) as caught:
            call()
        assert words in str(caught.value)
    with pytest.raises(KaoganError, match="not finite"):
        rank(plain, lambda pictures, conditions: np.full(len(pictures), np.nan), 1, 2)
