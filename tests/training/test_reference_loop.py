"""In float32 kaogan's steps are those of an obvious loop in plain PyTorch, weight by weight, within rounding."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks import reference
from kaogan import api
from kaogan.config.recipe import Recipe
from kaogan.core.rng import draw_latents, torch_generator
from kaogan.training.sampler import InfiniteSampler
from kaogan.training.state import TrainState, build_train_state
from kaogan.training.step import GANTrainer
from tests.small import small

CPU = torch.device("cpu")
LOSSES = {"rel": 1e-4, "abs": 1e-6}


def per_pixel(critic: nn.Module, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """The widely copied mistake: the norm over the channels of each pixel instead of over the picture."""
    share = share.view(-1, 1, 1, 1)
    between = (share * real + (1 - share) * fake).requires_grad_(True)
    (gradients,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean()


def latents(recipe: Recipe, network: str, clock: int) -> Tensor:
    random = torch_generator(recipe.run.seed, f"latents/{network}", clock)
    return draw_latents(recipe.training.batch_size, recipe.latent.size, recipe.latent.distribution, random)


def prepare(name: str, **overrides: Any) -> tuple[Recipe, TrainState, InfiniteSampler, GANTrainer]:
    recipe = small(name, **overrides)
    pictures = api.load_data(recipe)
    state = build_train_state(recipe, pictures.schema, CPU, "fp32")
    batches = InfiniteSampler(pictures, recipe.training.batch_size, recipe.run.seed)
    return recipe, state, batches, GANTrainer(recipe, pictures.schema, state, batches, CPU, "fp32")


def network(kind: Callable[..., nn.Module], source: nn.Module, **settings: Any) -> nn.Module:
    """A reference network with the weights of kaogan's."""
    made = kind(width=4, image_size=16, **settings)
    reference.copy_weights(source, made)
    return made


def without_effect(module: nn.Module) -> set[int]:
    """The biases that a norm takes out again. Their gradient is 0 but for rounding, which Adam blows up to steps of
    its learning rate in any direction; no score and no picture depends on them."""
    rows = [list(part) for part in module.modules() if isinstance(part, nn.Sequential)]
    pairs = [pair for row in rows for pair in itertools.pairwise(row)]
    return {
        id(layer.bias)
        for layer, after in pairs
        if "Norm" in type(after).__name__ and getattr(layer, "bias", None) is not None
    }


def same(ours: nn.Module, theirs: nn.Module, lr: float, steps: int) -> None:
    """All weights and statistics agree within rounding."""
    free = without_effect(ours)
    own, other = ours.state_dict(keep_vars=True), theirs.state_dict()
    for (name, value), expected in zip(own.items(), other.values(), strict=True):
        atol = 2 * lr * steps if id(value) in free else 1e-6
        torch.testing.assert_close(
            value.detach(), expected, rtol=1e-4, atol=atol, msg=lambda text, n=name: f"{n}: {text}"
        )


def without_updates(optimiser: torch.optim.Optimizer) -> None:
    optimiser.step = lambda *_: None  # type: ignore[method-assign]


def run_dcgan(steps: int = 3, channels_last: bool = True, break_d: bool = False) -> None:
    recipe, state, batches, ours = prepare("dcgan", **{"run.channels_last": channels_last})
    generator = network(reference.Generator, state.generator, latent_size=8)
    theirs = reference.DCGANLoop(generator, network(reference.Discriminator, state.discriminator))
    if break_d:
        without_updates(theirs.optimizer_d)
    for _ in range(steps):
        batch = batches.at(state.images_seen)
        ours.generator_step([batch], ours.discriminator_step([batch], reuse=True))
        losses = theirs.step(batch.images.contiguous(), latents(recipe, "discriminator", state.images_seen))
        taken = ours.meters.take()
        assert (taken["loss_d"], taken["loss_g"]) == pytest.approx(losses, **LOSSES)
        state.images_seen += recipe.training.batch_size
    same(state.discriminator, theirs.discriminator, recipe.optim.lr, steps)
    same(state.generator, theirs.generator, recipe.optim.lr, steps)


def run_wgan_gp(penalty: reference.Penalty = reference.gradient_penalty, break_d: bool = False) -> None:
    recipe, state, batches, ours = prepare("wgan-gp")
    generator = network(reference.Generator, state.generator, latent_size=8, bias=True)
    critic = network(reference.Critic, state.discriminator)
    theirs = reference.WGANGPLoop(generator, critic, penalty=penalty)
    if break_d:
        without_updates(theirs.optimizer_d)
    for number in range(2):
        batch, clock = batches.at(state.images_seen), state.images_seen
        share = torch.rand(len(batch.images), generator=torch_generator(recipe.run.seed, "penalty", clock))
        ours.discriminator_step([batch])
        loss = theirs.critic_step(batch.images.contiguous(), latents(recipe, "discriminator", clock), share)
        assert ours.meters.take()["loss_d"] == pytest.approx(loss, **LOSSES)
        if number:
            ours.generator_step([batch])
            loss = theirs.generator_step(latents(recipe, "generator", clock))
            assert ours.meters.take()["loss_g"] == pytest.approx(loss, **LOSSES)
        state.images_seen += recipe.training.batch_size
    same(state.discriminator, theirs.critic, recipe.optim.lr, 2)
    same(state.generator, theirs.generator, recipe.optim.lr, 1)


@pytest.mark.parametrize("channels_last", [True, False])
def test_dcgan_is_the_example(channels_last: bool) -> None:
    run_dcgan(channels_last=channels_last)


def test_wgan_gp_is_the_obvious_loop() -> None:
    run_wgan_gp()


def test_a_loop_that_forgets_the_discriminator_differs() -> None:
    with pytest.raises(AssertionError):
        run_dcgan(break_d=True)
    with pytest.raises(AssertionError):
        run_wgan_gp(break_d=True)


def test_a_penalty_per_pixel_differs() -> None:
    with pytest.raises(AssertionError):
        run_wgan_gp(penalty=per_pixel)
