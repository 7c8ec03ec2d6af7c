"""The latent filter: which latents it takes, its file, and that it stays with the weights that it was fitted on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.rng import draw_latents, torch_generator
from kaogan.core.schema import Schema
from kaogan.core.weights_file import read_weights, write_weights
from kaogan.generate.explore import points, render
from kaogan.generate.latent_filter import FILTER, LatentFilter, check_keep, write_filter
from kaogan.generate.model import load
from tests.generate.conftest import LATENT as SIZE
from tests.generate.conftest import any_filter, filtered, tiny_model


@pytest.fixture
def folder(tmp_path):
    return filtered().save(tmp_path / "model")


def test_a_perceptron_is_computed_as_its_formula_says():
    rng = torch.Generator().manual_seed(0)
    shapes = [(5, SIZE), (4, 5), (1, 4)]
    layers = [(torch.randn(s, generator=rng).double(), torch.randn(s[0], generator=rng).double()) for s in shapes]
    z = torch.randn(7, SIZE, generator=rng)
    x = F.silu(z.double() @ layers[0][0].T + layers[0][1])
    x = F.silu(x @ layers[1][0].T + layers[1][1])
    expected = (x @ layers[2][0].T + layers[2][1])[:, 0]
    torch.testing.assert_close(LatentFilter(layers, torch.zeros(101))(z), expected)


def test_a_picture_takes_its_first_candidate_under_the_threshold():
    model = filtered()
    found = model.latents(40, seed=3, start=5, keep=0.5)
    threshold = any_filter().threshold(0.5)
    assert threshold == pytest.approx(0, abs=1e-6)
    repeated = 0
    for number, latent in enumerate(found, 5):
        purpose, attempt = "sample/latent", 0
        while (z := draw_latents(1, SIZE, "normal", torch_generator(3, purpose, number)))[0, 0] > threshold:
            attempt += 1
            purpose = f"sample/latent/{attempt}"
        repeated += attempt > 0
        assert torch.equal(latent, z[0])
    assert 10 <= repeated <= 30


def test_keep_one_is_the_model_without_a_filter_to_the_last_bit():
    model, plain = filtered(), tiny_model(Schema())
    assert (model.keep, plain.keep) == (0.8, 1.0)
    np.testing.assert_array_equal(model.sample(5, seed=2, keep=1), plain.sample(5, seed=2))
    assert not np.array_equal(model.sample(5, seed=2), plain.sample(5, seed=2))
    assert torch.equal(model.keeping(1).latents(9), plain.latents(9)) and model.keep == 0.8


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_a_picture_depends_on_its_seed_and_number_alone(distribution):
    model = filtered(distribution)
    many = model.latents(50, seed=1)
    assert torch.equal(many[17:19], model.latents(2, seed=1, start=17))
    assert torch.equal(model.latents(50, seed=1, truncation=0.5), many * 0.5)
    assert (many[:, 0] <= model.latent_filter.threshold(0.8)).all()
    if distribution == "uniform":
        assert many.abs().max() <= 1


def test_exploring_and_attributes_are_of_the_same_pictures(model):
    conditional = filtered(schema=model.attributes)
    np.testing.assert_array_equal(render(conditional, points(conditional, 4, 3)), conditional.sample(3, seed=4))
    assert torch.equal(conditional.conditions(6, 4), model.conditions(6, 4))


def test_a_filter_that_likes_nothing_takes_the_best_of_its_candidates(monkeypatch):
    monkeypatch.setattr("kaogan.generate.latent_filter.ATTEMPTS", 20)
    strict = LatentFilter(any_filter().layers, torch.full((101,), -100.0).double())
    purposes = ["sample/latent", *(f"sample/latent/{attempt}" for attempt in range(1, 20))]
    drawn = [draw_latents(1, SIZE, "normal", torch_generator(0, purpose, 0)) for purpose in purposes]
    assert torch.equal(strict.draw(0.5, 0, 0, "normal"), min(drawn, key=lambda z: float(z[0, 0])))


def test_the_threshold_lies_between_the_quantiles():
    latent_filter = LatentFilter(any_filter().layers, torch.arange(101).double())
    found = [latent_filter.threshold(keep) for keep in (0.001, 0.8, 0.805, 1)]
    assert found == pytest.approx([0.1, 80, 80.5, 100])


@pytest.mark.parametrize("keep", [0, -0.1, 1.5, float("nan"), "x", None, True])
def test_what_is_no_share_is_refused(keep):
    with pytest.raises(UsageError, match="above 0, at most 1"):
        check_keep(keep)


def test_a_model_without_a_filter_can_keep_all_only(plain):
    assert plain.sample(1, keep=1).shape == (1, 16, 16, 3)
    for call in (lambda: plain.sample(1, keep=0.8), lambda: setattr(plain, "keep", 0.8)):
        with pytest.raises(UsageError, match="fit-filter"):
            call()


def test_the_filter_travels_with_its_model(folder, tmp_path):
    model, again = filtered(), load(folder, "cpu")
    np.testing.assert_array_equal(again.sample(4, seed=1), model.sample(4, seed=1))
    assert again.latent_filter.report == any_filter().report
    assert "best 80% of the latents" in (folder / "README.md").read_text()
    half = load(again.save(tmp_path / "half", half=True), "cpu")
    assert torch.equal(half.latents(9), model.latents(9))
    assert load(half.save(tmp_path / "again", half=True), "cpu").keep == 0.8


def test_the_filter_does_not_travel_to_other_weights(folder, tmp_path):
    model = load(folder, "cpu")
    with torch.no_grad():
        next(model.generator.parameters()).add_(1)
    assert not (model.save(tmp_path / "changed") / FILTER).exists()
    model.save(folder)  # over the old ones
    assert not (folder / FILTER).exists() and load(folder, "cpu").keep == 1


def test_a_model_saved_anew_keeps_the_filter_beside_it(folder):
    tiny_model(Schema()).save(folder)
    assert load(folder, "cpu").keep == 0.8


def test_a_filter_of_another_model_is_refused(folder):
    write_filter(folder / FILTER, any_filter(), tiny_model(Schema(), channels=1).generator.state_dict())
    with pytest.raises(KaoganError, match="other weights"):
        load(folder)
    assert load(folder, "cpu", filtered=False).keep == 1


def _cut(path):
    path.write_bytes(path.read_bytes()[:300])


def _without_digest(path):
    save_file(load_file(path), path, {"format": "1"})


def _other_shape(path):
    weights = tiny_model(Schema()).generator.state_dict()
    write_filter(path, LatentFilter([(torch.zeros(1, 5), torch.zeros(1))], any_filter().quantiles), weights)


def _not_finite(path):
    weights = tiny_model(Schema()).generator.state_dict()
    write_filter(path, LatentFilter(any_filter().layers, any_filter().quantiles * float("nan")), weights)


def _no_report(path):
    weights = tiny_model(Schema()).generator.state_dict()
    write_filter(path, any_filter(), weights)
    tensors, metadata = read_weights(path, "filter", 2**20)
    write_weights(path, tensors, {**metadata, "report": "[1]"})


def _words_for_numbers(path):
    weights = tiny_model(Schema()).generator.state_dict()
    write_filter(path, replace(any_filter(), report={"correlation": "high"}), weights)


@pytest.mark.parametrize("damage", [_cut, _without_digest, _other_shape, _not_finite, _no_report, _words_for_numbers])
def test_a_damaged_filter_is_refused_in_one_line(folder, damage):
    damage(folder / FILTER)
    with pytest.raises(KaoganError, match=FILTER) as error:
        load(folder)
    assert "\n" not in str(error.value) and "kaogan fit-filter" in str(error.value)
