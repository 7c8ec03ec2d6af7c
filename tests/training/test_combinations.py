"""Every combination of settings trains, every setting acts, and only where it should."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from kaogan.config import recipes
from kaogan.core.errors import UsageError
from kaogan.core.training_loop import weight_norm
from kaogan.losses import OBJECTIVES
from kaogan.losses.extras import EXTRAS as EXTRAS_REGISTRY
from kaogan.networks import DISCRIMINATORS, GENERATORS
from kaogan.training.state import check_networks
from tests.training.conftest import Bench
from tests.training.tiny import ATTRIBUTES, EXTRAS, SOON, tiny

OPTIMISERS = ("adam", "adamw", "rmsprop", "sgd")
SCHEDULES = ("constant", "linear", "cosine", "exponential")

# Settings that turn each extra of the registry on.
ON: dict[str, Any] = {
    "instance_noise": {"amount": 0.1},
    "blur_fade": {"sigma": 1.0},
    "augment": {"name": "ada", "p": 0.5},
    "blurred_reals": {"ratio": 0.5},
    "replay": {"fraction": 0.5, "start": 0, "lead": 0, "every": 8},
    "pixel_loss": {"weight": 1.0},
    "style_mixing": 1.0,
    "fixed_pattern": {"weight": 1.0, "start": 0, "ramp": 8},
    "apa": {"p": 0.5, "target": 0.6},
    "lecam": {"weight": 1.0},
}
# Every family meets every extra; objectives and discriminators take turns, so that all pairs of all four occur.
FAMILIES, CRITICS, GOALS = GENERATORS.names(), DISCRIMINATORS.names(), OBJECTIVES.names()
ROWS = [
    (family, CRITICS[(f + 2 * e) % len(CRITICS)], GOALS[(f + e) % len(GOALS)], extra)
    for (f, family), (e, extra) in itertools.product(enumerate(FAMILIES), enumerate(ON))
]


def test_all_pairs_are_in_the_rows() -> None:
    registries = (FAMILIES, CRITICS, GOALS, EXTRAS_REGISTRY.names())
    assert list(ON) == EXTRAS_REGISTRY.names()
    for a, b in itertools.combinations(range(4), 2):
        assert {(row[a], row[b]) for row in ROWS} == set(itertools.product(registries[a], registries[b]))


@pytest.mark.parametrize(("family", "critic", "objective", "extra"), ROWS)
def test_any_network_with_any_objective_and_any_extra(
    bench: Callable[..., Bench], family: str, critic: str, objective: str, extra: str
) -> None:
    generator, discriminator = GENERATORS[family], DISCRIMINATORS[critic]
    sides = set(generator.image_sizes.sides()) & set(discriminator.image_sizes.sides())
    recipe = recipes.load(
        {
            "image_size": min(side for side in sides if side >= 16),
            "generator": {"family": family, **generator.tiny},
            "discriminator": {"family": critic, **discriminator.tiny},
            "latent": {"size": 8},
            "training": {"batch_size": 8},
            "objective": {"name": objective},
            "extras": {extra: ON[extra]},
        }
    )
    if extra == "style_mixing" and not generator.has_style_space:
        with pytest.raises(UsageError, match="style_mixing"):
            check_networks(recipe)
        return
    check_networks(recipe)
    assert list(bench(recipe).trainer.loss.extras) == [extra]
    trains(bench(recipe), steps=1)


@pytest.mark.parametrize("number", range(len(EXTRAS)))
def test_several_heads_with_any_objective_and_any_extra(bench: Callable[..., Bench], number: int) -> None:
    """Penalties go through the tagger; labels are of pictures, not of heads."""
    critic = {"discriminator.family": "projected", "discriminator.width": 4, "discriminator.patches": 4 * (number % 2)}
    objective = list(OBJECTIVES)[number % len(OBJECTIVES)]
    trains(bench(tiny(**EXTRAS[number] | critic | {"objective.name": objective})))


@pytest.mark.parametrize("extra", range(len(EXTRAS)))
def test_every_extra_with_every_optimiser_and_schedule(bench: Callable[..., Bench], extra: int) -> None:
    objective = list(OBJECTIVES)[(extra + 3) % len(OBJECTIVES)]
    settings = {"optim.name": OPTIMISERS[(extra + 1) % 4], "optim.momentum": 0.5, "optim.weight_decay": 1e-3,
                "optim.schedule.type": SCHEDULES[(extra + extra // 4) % 4], "optim.schedule.final": 0.1}  # fmt: skip
    trains(bench(tiny(**(EXTRAS[extra] | settings | {"objective.name": objective}))))


def trains(bench: Bench, steps: int = 2) -> None:
    before = {network: bench.weights(network) for network in ("generator", "discriminator")}
    stats = bench.step(steps)
    assert {"loss_d", "loss_g", "real_score", "fake_score", "adversarial_d", "adversarial_g"} <= stats.keys()
    assert all(torch.isfinite(torch.tensor(value)) for value in stats.values()), stats
    assert math.isfinite(weight_norm(bench.state.networks()))
    for network, weights in before.items():
        assert not torch.equal(weights, bench.weights(network)), f"the {network} does not move"
    assert bench.state.images_seen == 8 * steps


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precisions_train_with_everything_on(bench: Callable[..., Bench], precision: str) -> None:
    # Until its loss scale has come down, fp16 rightly skips steps whose gradients overflow.
    trains(bench(tiny(**EXTRAS[19]), precision=precision), 2 if precision == "bf16" else 12)


# Every setting acts


ACTS: list[dict[str, Any]] = [
    {"latent.distribution": "uniform"},
    {"objective.name": "hinge"},
    {"objective.discriminator_weight": 0.5},
    {"objective.real_label": 0.9},
    {"objective.fake_label": 0.1},
    {"objective.generator_label": 0.9},
    {"objective.real_label": [0.8, 1.0]},
    {"objective.label_flip": 0.4},
    {"penalties.gradient_penalty.weight": 1.0},
    {"penalties.r1.weight": 1.0},
    {"penalties.r2.weight": 1.0},
    {"penalties.clip": 0.01},
    *({"extras.blurred_reals": {"ratio": 0.5, **changed}} for changed in ({}, {"low": 20, "high": 900}, {"dilation": 1},
      {"kernel": 3}, {"variant": "source"}, {"weight": 0.5})),
    {"extras.blurred_reals.ratio": 0.25},
    *({"extras.replay": {"fraction": 0.5, **SOON, **changed}} for changed in ({}, {"weight": 0.5})),
    {"extras.instance_noise.amount": 0.1},
    {"extras.instance_noise": {"amount": 0.1, "end": 40}},
    {"extras.pixel_loss.weight": 1.0},
    {"extras.pixel_loss": {"weight": 1.0, "power": 2}},
    {"extras.apa.p": 0.5},
    *({"extras.apa": {"p": 0.5, "target": 0.0, "every": 1, "images": 25, **changed}} for changed in ({}, {"every": 2},
      {"target": 1.0}, {"images": 80})),
    *({"extras.lecam": {"weight": 1.0, **changed}} for changed in ({}, {"start": 8}, {"horizon": 20})),
    *({"attributes": {**ATTRIBUTES, **changed}} for changed in ({}, {"loss": "sigmoid"}, {"discriminator_weight": 2.0},
      {"generator_weight": 2.0}, {"on_fakes": True}, {"uniform": True})),
    {"optim.lr": 1e-3},
    {"optim.betas": [0.0, 0.9]},
    {"optim.eps": 1e-3},
    {"optim.weight_decay": 0.1},
    {"optim.name": "adamw", "optim.weight_decay": 0.1},
    {"optim.name": "rmsprop"},
    {"optim.name": "rmsprop", "optim.alpha": 0.5},
    {"optim.name": "rmsprop", "optim.momentum": 0.5},
    {"optim.name": "sgd"},
    {"optim.name": "sgd", "optim.momentum": 0.5},
    {"optim.schedule": {"type": "linear", "images": 30}},
    {"optim.schedule": {"type": "cosine", "images": 30}},
    {"optim.schedule": {"type": "exponential", "images": 30, "final": 0.1}},
    {"optim.schedule": {"type": "linear", "images": 30, "final": 0.1}},
    {"optim.generator.lr": 1e-3},
    {"optim.discriminator.lr": 1e-3},
    {"optim.generator.betas": [0.0, 0.9]},
    {"optim.discriminator.weight_decay": 0.1},
    {"training.reuse_fakes": True},
    {"training.batch_size": 6},
    {"data.horizontal_flip": True},
    {"run.seed": 1},
]  # fmt: skip


def test_every_setting_acts(bench: Callable[..., Bench]) -> None:
    """Each of these ends at weights of its own: none is ignored, none is mistaken for another."""
    ends: dict[bytes, dict[str, Any]] = {}
    for settings in [{}, *ACTS]:
        trained = bench(tiny(**settings))
        trained.step(3)
        end = trained.weights().numpy().tobytes()
        assert end not in ends, f"{settings} is no different from {ends[end]}"
        ends[end] = settings


@pytest.mark.parametrize(
    "settings",
    [
        {"extras.instance_noise": {"amount": 0.0, "end": 100}},
        {"extras.blurred_reals": {"ratio": 0.0, "weight": 5.0}},
        {"extras.replay": {"fraction": 0.0, **SOON}},
        {"extras.replay": {"fraction": 0.5, "start": 1000, "lead": 1000}},
        {"extras.pixel_loss": {"weight": 0.0, "power": 2}},
        {"extras.apa": {"p": 0.0, "every": 1, "images": 1}},
        {"extras.lecam": {"weight": 0.0, "horizon": 8}},
        {"penalties.gradient_penalty": {"weight": 0.0, "every": 1}},
        {"objective.name": "softplus"},
        {"run.stats_every": 8},
        {"run.loss_limit": 5.0},
        {"training.ema_halflife": 3.0},
    ],
)
def test_what_is_off_does_nothing(bench: Callable[..., Bench], settings: dict[str, Any]) -> None:
    plain, other = bench(tiny()), bench(tiny(**settings))
    stats, other_stats = plain.step(3), other.step(3)
    assert torch.equal(plain.weights(), other.weights())
    assert stats.keys() == other_stats.keys()


def test_steps_are_a_function_of_the_recipe(bench: Callable[..., Bench]) -> None:
    recipe = tiny(**EXTRAS[19])
    first = bench(recipe)
    first.step(2)
    torch.manual_seed(123)  # global randomness is nobody's
    second = bench(recipe)
    torch.rand(7)
    second.step(2)
    assert torch.equal(first.weights(), second.weights())
