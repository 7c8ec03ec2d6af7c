"""Penalties that take optimiser steps of their own: they see the weights that the main step has left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from kaogan.config.recipe import Recipe
from kaogan.networks import DISCRIMINATORS
from kaogan.networks.cpu.grad_modes import cached_weight_casts
from kaogan.training.gan_loss import GANLoss
from tests.small import small
from tests.training.conftest import Bench

# Discriminator family: a recipe that has it.
RECIPES = {
    "dcgan": "dcgan",
    "residual": "resdcgan",
    "keras_wgan": "wgan-clip",
    "starsface_wgan": None,
    "stylegan2": "stylegan2-64",
    "r3gan": "r3gan-64",
    "projected": "kao",
}


def recipe_of(family: str, lr: float) -> Recipe:
    penalties = {"penalties.separate_step": True, "penalties.r1": {"weight": 1.0}, "penalties.r2": {"weight": 1.0}}
    other = {} if RECIPES[family] else {"discriminator": {"family": family, "width": 16}, "image_size": 32}
    return small(RECIPES[family] or "dcgan", **other, **penalties, **{"optim.lr": lr, "attributes.names": []})


def test_every_family_is_here() -> None:
    assert set(RECIPES) == set(DISCRIMINATORS.names())


@pytest.mark.parametrize("family", RECIPES)
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_penalties_see_the_weights_of_now(
    family: str, precision: str, bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are, bit for bit, what they are when they begin with no casts of weights at all."""
    results = []
    for fresh in (False, True):
        if fresh:
            monkeypatch.setattr(GANLoss, "_gradient_penalties", cached_weight_casts()(GANLoss._gradient_penalties))
        there = bench(recipe_of(family, 0.02), precision=precision)
        stats = there.step(2)
        results.append((stats["r1"], stats["r2"], there.weights("discriminator")))
    (r1, r2, weights), (r1_fresh, r2_fresh, weights_fresh) = results
    assert (r1, r2) == (r1_fresh, r2_fresh)
    torch.testing.assert_close(weights, weights_fresh, rtol=0, atol=0)


def test_the_separate_step_comes_after_the_main_one(bench: Callable[..., Bench]) -> None:
    """The penalty's value depends on how far the main step went before it."""
    slow, fast = (bench(recipe_of("dcgan", lr), precision="bf16").step() for lr in (1e-6, 0.02))
    assert slow["adversarial_d"] == fast["adversarial_d"]
    assert abs(slow["r1"] - fast["r1"]) > 0.1 * slow["r1"]
