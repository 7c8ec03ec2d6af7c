"""Training on a device, without one: on "meta" whatever lies on the wrong device or makes the host wait is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import _SpectralNorm

from benchmarks.launches import Trace, noise_pictures, on_meta, trace
from kaogan.aux_models.tagger import Tagger, load_tagger
from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.errors import KaoganError
from kaogan.generate.explore.projection import project
from kaogan.generate.explore.tagger_features import extract
from kaogan.generate.model import Model
from kaogan.metrics.features import load_extractor
from kaogan.networks.spectral_norm import normalised_once
from kaogan.training.run_dir import RunDir
from kaogan.training.run_logger import RunLogger
from kaogan.training.sampler import InfiniteSampler
from kaogan.training.state import TrainState, build_train_state
from kaogan.training.step import GANTrainer
from tests.generate.conftest import tiny_model
from tests.small import small

META = torch.device("meta")
# Where a step may read the device: old fakes go into the host's memory, and ADA and APA adjust their probabilities.
LISTED = {"replay_buffer.py", "adaptive_p.py", "images.py"}
MARKS = {"dcgan": 145, "kao": 1_835, "sagan": 495, "r3gan": 1_895, "stylegan2": 2_115}
"""Launches of a step of both networks, the second of a run; docs/how-to/gpu.md quotes the counts."""


def built(recipe: Recipe, device: torch.device) -> TrainState:
    return build_train_state(recipe, noise_pictures(recipe).schema, device, "fp32")


def stepped(recipe: Recipe) -> TrainState:
    """The state of a run on the CPU after a step of both networks."""
    state, pictures = built(recipe, torch.device("cpu")), noise_pictures(recipe)
    sampler = InfiniteSampler(pictures, recipe.training.batch_size, recipe.run.seed)
    trainer = GANTrainer(recipe, pictures.schema, state, sampler, torch.device("cpu"), "fp32")
    for _ in range(recipe.training.n_critic):
        trainer.step()
        state.images_seen += recipe.training.batch_size
    return state


@pytest.mark.parametrize("name", recipes.names())
def test_a_step_of_both_networks_waits_only_where_it_must(name: str) -> None:
    recipe = small(name)
    seen = trace(recipe, noise_pictures(recipe), steps=4, p=0.5)
    assert seen.launches > 50
    assert not seen.blocking
    assert {place.split(":")[0].rsplit("/")[-1] for place in seen.waits} <= LISTED
    assert seen.waits.total() <= 2


@pytest.mark.parametrize("name", ["kao", "demo", "stylegan2"])
def test_the_shards_of_a_step_meet_where_the_weights_lie(name: str) -> None:
    """Also the statistics of extras that begin on the host."""
    recipe = small(name, **{"training.shards": 2})
    seen = trace(recipe, noise_pictures(recipe), steps=4, p=0.5)
    assert not seen.blocking and seen.waits.total() <= 2


@pytest.mark.parametrize("name", MARKS)
def test_launches_of_a_step(name: str) -> None:
    size, batch = (256, 32) if name == "stylegan2" else (64, 32)
    recipe = recipes.load(name, {"image_size": size, "training.batch_size": batch})
    assert trace(recipe, noise_pictures(recipe), steps=2).launches <= MARKS[name]


def test_weights_are_normalised_once_for_all_passes_of_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device; on a CPU each pass iterates, as PyTorch does."""
    recipe = small("sagan", image_size=32)
    state, pictures = built(recipe, torch.device("cpu")), noise_pictures(recipe)
    sampler = InfiniteSampler(pictures, recipe.training.batch_size, recipe.run.seed)
    trainer = GANTrainer(recipe, pictures.schema, state, sampler, torch.device("cpu"), "fp32")
    calls: list[object] = []
    iterate = _SpectralNorm._power_method

    def counted(self: _SpectralNorm, *arguments: Any) -> None:
        calls.append(self)
        iterate(self, *arguments)

    monkeypatch.setattr(_SpectralNorm, "_power_method", counted)
    layers = {id(part) for part in state.discriminator.modules() if isinstance(part, _SpectralNorm)}
    batch = sampler.at(0)
    made = []
    for on_device in (False, True):
        if on_device:
            trainer.loss.normalised_weights = normalised_once
        calls.clear()
        trainer.discriminator_step([batch])
        made.append(sum(id(part) in layers for part in calls))
    assert made[0] >= 2 * len(layers) > 0 and made[1] == 0


def test_the_tagger_and_the_extractors_work_where_they_are_put() -> None:
    pictures = torch.empty(2, 16, 16, 3, dtype=torch.uint8, device=META)
    for name in ("efficientnet", "mobilenet"):
        try:
            extractor = load_extractor(name)
        except KaoganError:
            continue  # weights that come in a package of their own
        assert extractor.to(META).features(pictures).shape == (2, extractor.size)  # type: ignore[attr-defined]
    tagger = load_tagger().to(META)
    images = torch.empty(2, 3, 32, 32, device=META, requires_grad=True)
    distance = extract(tagger, images).distance(extract(tagger, images[:1].detach()))
    assert distance.shape == (2,) and distance.device == META
    assert torch.autograd.grad(distance.sum(), images)[0].device == META


def test_projection_moves_the_tagger_to_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[torch.device] = []
    tagger = load_tagger()

    def moved(device: torch.device) -> Tagger:
        told.append(device)
        return tagger

    monkeypatch.setattr(tagger, "to", moved)
    model = tiny_model()
    project(model, np.zeros((16, 16, 3), np.uint8), 1, starts=1, candidates=2, frames=2, tagger=tagger)
    assert told == [model.device]


def test_a_read_of_the_device_and_a_blocking_copy_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small("dcgan")
    original = GANTrainer.generator_step

    def with_copy(self: GANTrainer, *args: Any) -> None:
        torch.ones(3).to(self.loss.device)
        torch.tensor([1.0], device=self.loss.device).new_tensor([2.0])
        original(self, *args)

    def with_read(self: GANTrainer, *args: Any) -> None:
        original(self, *args)
        self.meters.means()

    monkeypatch.setattr(GANTrainer, "generator_step", with_copy)
    assert trace(recipe, noise_pictures(recipe)).blocking.total() == 3
    monkeypatch.setattr(GANTrainer, "generator_step", with_read)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        trace(recipe, noise_pictures(recipe))


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")
@pytest.mark.parametrize("name", ["dcgan", "wgan-clip", "stylegan2", "kao"])
@pytest.mark.parametrize("fused", [False, True])
def test_a_checkpoint_of_the_cpu_is_restored_where_the_weights_lie(name: str, fused: bool) -> None:
    recipe = small(name)
    tensors, numbers = stepped(recipe).state_dict()
    state = built(recipe, META)
    for optimizer in (state.generator_optim, state.discriminator_optim):
        if isinstance(optimizer, torch.optim.Adam):
            optimizer.defaults["fused"] = fused  # as build_optimizer asks for on a card
    state.load_state_dict(tensors, numbers)
    for optimizer in (state.generator_optim, state.discriminator_optim):
        assert optimizer.state
        for weight, slots in optimizer.state.items():
            assert weight.device == META
            # Fused Adam counts its steps on the device, any other optimiser on the host.
            places = {slot: value.device.type for slot, value in slots.items()}
            expected = "meta" if optimizer.defaults.get("fused") else "cpu"
            assert places == {slot: expected if slot == "step" else "meta" for slot in slots}
    values = [pair for network in (*state.networks(), state.ema.module) for pair in network.state_dict().items()]
    # The host counts the batches of batch norm.
    assert {value.device for name, value in values if not name.endswith("num_batches_tracked")} == {META}
    assert state.path_mean.device == META


def test_saving_a_model_leaves_the_average_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[nn.Module] = []
    monkeypatch.setattr(Model, "save", lambda self, *_: saved.append(self.generator))
    recipe = small("stylegan2-64")
    pictures, state = noise_pictures(recipe, 24), built(recipe, META)
    folder = RunDir(tmp_path / "run")
    try:
        with on_meta(Trace()):
            logger = RunLogger(folder, recipe, pictures, state, META)
            logger.save_model()
            state.ema.update(8, 8)
    finally:
        folder.close()
    assert saved
