"""Fitting of latent filters: distances against a plain computation, a filter that has something to learn, its file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from kaogan.aux_models.eye_judge.judge import EyeJudge
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.schema import Schema
from kaogan.data import PictureSet, load_pictures
from kaogan.generate.fit_filter import DistanceToReal, WhitenedReals, fit_filter, save_filter
from kaogan.generate.latent_filter import FILTER
from kaogan.generate.model import Model, load
from tests.generate.conftest import tiny_model


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> PictureSet:
    """120 pictures of one colour each, 16 px."""
    folder = tmp_path_factory.mktemp("real")
    rng = np.random.default_rng(0)
    for number in range(120):
        colour = rng.integers(90, 160, 3).astype(np.uint8)
        Image.fromarray(np.broadcast_to(colour, (16, 16, 3)).copy()).save(folder / f"{number:03}.png")
    return load_pictures(folder, image_size=16, cache=folder.parent / "cache")


def brightening():
    """A model whose faces go from grey to black or white with the first number of the latent."""
    model = tiny_model(Schema())

    class Flat(torch.nn.Module):
        def forward(self, z):
            return z[:, 0].tanh()[:, None, None, None].expand(-1, 3, 16, 16)

    model.generator = Flat()
    return model


def test_distances_are_means_over_the_nearest_in_whitened_components():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(3, 2, (80, 7)).astype(np.float32), rng.normal(3, 4, (5, 7)).astype(np.float32)
    space = WhitenedReals(real)
    covariance = np.cov(real.T.astype(float), bias=True)
    steps = fake[:, None].astype(float) - real[None]
    mahalanobis = np.sqrt(np.einsum("nmi,ij,nmj->nm", steps, np.linalg.inv(covariance), steps))
    np.testing.assert_allclose(space.distances(fake), np.sort(mahalanobis, 1)[:, :5].mean(1), rtol=1e-4)


def test_a_filter_foretells_what_the_latent_decides(real):
    model = brightening()
    found = fit_filter(model, DistanceToReal(real, 120, seed=1), samples=400, seed=1)
    assert found.report["correlation"] > 0.5 and found.report["rejected"] > 0.5
    assert found.report["kept"] < found.report["drawn"]
    z = torch.zeros(2, 6)
    z[1, 0] = 2.5
    grey, white = found(z)
    assert grey < white
    assert (found(torch.randn(2000, 6)) <= found.threshold(0.8)).double().mean() == pytest.approx(0.8, abs=0.03)
    again = fit_filter(model, DistanceToReal(real, 120, seed=1), samples=400, seed=1)
    assert torch.equal(again.quantiles, found.quantiles)
    assert not found.by_eyes and found.usual_keep == 0.8


def test_without_another_measure_it_foretells_the_eye_judge():
    model = brightening()
    found = fit_filter(model, samples=400, seed=1)
    assert found.by_eyes and found.usual_keep == 0.5 and found.report["kept"] < found.report["drawn"]
    z = torch.linspace(-2, 2, 9)[:, None] * torch.eye(6)[:1]
    judged = EyeJudge()(model.generate(z))
    assert np.corrcoef(found(z).numpy(), judged)[0, 1] > 0.8
    assert model.keep == 1 and Model(model.generator, model.attributes, model.config, latent_filter=found).keep == 0.5


def test_any_model_can_have_one_and_a_useless_one_is_not_written(tmp_path):
    model = tiny_model(channels=1)
    folder = model.save(tmp_path / "m")
    fitted = fit_filter(model, samples=100)
    poor = type(fitted)(fitted.layers, fitted.quantiles, {**fitted.report, "correlation": 0.1})
    with pytest.raises(KaoganError, match="nothing was written"):
        save_filter(model, poor, folder)
    assert not (folder / FILTER).exists()
    before = (folder / "README.md").read_text()
    save_filter(model, poor, folder, anyway=True)
    save_filter(model, poor, folder, anyway=True)
    added = set((folder / "README.md").read_text().splitlines()) - set(before.splitlines())
    assert len(added) == 1 and "r = 0.10" in added.pop()
    assert load(folder, "cpu").keep == 0.5


def test_none_is_put_beside_weights_that_came_meanwhile(tmp_path):
    model = tiny_model(Schema())
    folder = model.save(tmp_path / "m")
    fitted, later = fit_filter(model, samples=100), tiny_model(Schema())
    with torch.no_grad():
        later.generator.last[0].weight.mul_(0.5)
    later.save(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(KaoganError, match="was changed meanwhile"):
        save_filter(model, fitted, folder, anyway=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_too_few_pictures_are_refused(real):
    with pytest.raises(UsageError, match="100 real pictures or more"):
        DistanceToReal(real, 50)
    with pytest.raises(UsageError, match="100 samples or more"):
        fit_filter(brightening(), samples=5)
