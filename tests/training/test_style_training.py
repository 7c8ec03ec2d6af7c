"""What style networks and augmentation add to a step: closed forms, state that is saved, and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kaogan.config import recipes
from kaogan.core import checkpoint
from kaogan.core.errors import UsageError
from kaogan.losses import path_length_penalty, path_lengths
from kaogan.losses.extras import build_extras
from kaogan.losses.extras.augment import AugmentPipe
from kaogan.networks.stylegan import StyleGenerator
from kaogan.training.phases import build_phases, lazy_ratio
from kaogan.training.state import check_networks
from tests.small import small, train


def test_path_lengths_of_a_linear_map() -> None:
    matrix = torch.randn(3 * 4 * 4, 5)
    styles = torch.randn(6, 2, 5, requires_grad=True)
    noise = torch.randn(6, 3, 4, 4)
    images = (styles.sum(1) @ matrix.t()).view(6, 3, 4, 4)
    # Both styles have the Jacobian A: each the length |Aᵀ y| / sqrt(H W), and so has their mean.
    expected = (noise.flatten(1) @ matrix).norm(dim=1) / 4
    torch.testing.assert_close(path_lengths(images, styles, noise), expected)
    lengths = torch.tensor([1.0, 3.0], requires_grad=True)
    penalty, mean = path_length_penalty(lengths, torch.tensor(1.0), 0.25)
    assert float(mean) == 1.25 and not mean.requires_grad
    assert penalty.item() == pytest.approx((0.25**2 + 1.75**2) / 2)
    penalty.backward()
    # d/dl of mean (l - a)² where a = 0.75 + 0.25 mean l.
    assert float(lengths.grad[0]) == pytest.approx(-0.25 - 1.5 * 0.25 / 2)  # type: ignore[index]


def augment_pipe(name: str, **overrides: Any) -> AugmentPipe:
    pipe = build_extras(small(name, **overrides))["augment"]
    assert isinstance(pipe, AugmentPipe)
    return pipe


@pytest.mark.parametrize(("scores", "expected"), [([1.0] * 8, 0.4), ([-1.0] * 8, 0.0), ([1.0] * 6 + [-1.0] * 2, 0.0)])
def test_p_moves_towards_its_target(scores: list[float], expected: float) -> None:
    settings = {"extras.augment": {"name": "ada", "every": 2, "images": 160, "target": 0.6}}
    views = augment_pipe("stylegan2-64", **settings)
    for step in range(8):
        views.on_real_scores(
            torch.tensor(scores).reshape(8 if step % 2 else (4, 2))
        )  # the signs of several heads count alike
        views.adapt(step * 8, 8)
    # Four looks, each 2 batches of 8 of 160 images; the mean sign of the last case is 0.5.
    assert views.adaptive.p == pytest.approx(expected)
    views.adaptive.p = 0.5
    views.on_real_scores(torch.tensor(scores))
    views.adapt(8, 8)
    assert views.adaptive.p == pytest.approx(0.6 if expected else 0.4)


def test_p_that_stays_or_follows_a_schedule() -> None:
    fixed = augment_pipe("r3gan-64", **{"extras.augment.p": 0.2, "optim.annealing.augment": None})
    fixed.on_real_scores(torch.ones(8))
    fixed.adapt(24, 8)
    assert fixed.p(10**9) == 0.2
    annealed = augment_pipe("r3gan-64")
    assert [annealed.p(c) for c in (0, 150_000, 300_000, 10**9)] == pytest.approx([0, 0.15, 0.3, 0.3])


RESUMED: dict[str, dict[str, Any]] = {
    "stylegan2-64": {
        "attributes.names": ["hair", "eyes"], "extras.augment": {"name": "ada", "every": 1, "images": 100, "p": 0.5},
        "penalties.path_length.every": 2},
    "stylegan3-r-64": {
        "extras.augment.name": "diffaugment", "extras.blur_fade": {"sigma": 1.0, "images": 40},
        "generator.num_layers": 4},
    "r3gan-64": {"attributes.names": ["hair"], "extras.augment.p": 0.5, "optim.annealing.images": 40},
    "stylegan2-256-limited": {
        "run.precision": "bf16", "extras.apa": {"p": 0.5, "every": 1, "images": 100}, "extras.lecam.weight": 0.1},
}  # fmt: skip


@pytest.mark.parametrize("name", RESUMED)
def test_resumes_bit_for_bit_with_all_of_it(name: str, tmp_path: Path) -> None:
    def run(images: int, out: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        train(small(name, **RESUMED[name], **{"training.images": images}), tmp_path / out)
        return checkpoint.load(checkpoint.find(tmp_path / out / "checkpoints")[-1])

    whole, numbers = run(40, "whole")
    half, numbers_half = run(24, "parts")
    parts, numbers_parts = run(40, "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert (numbers["extras"], numbers["path_mean"]) == (numbers_parts["extras"], numbers_parts["path_mean"])
    if name == "stylegan2-64":
        assert numbers["path_mean"] != numbers_half["path_mean"] and numbers["path_mean"] > 0
        assert numbers["extras"] != numbers_half["extras"]
        assert not torch.equal(whole["generator/mapping.w_avg"], half["generator/mapping.w_avg"])
        assert whole["discriminator/mapping.embed.weight"].shape[1] == 22
    if name == "stylegan2-256-limited":
        assert numbers["extras"]["apa"]["p"] != 0.5 and {"extras/lecam/real", "extras/lecam/fake"} < whole.keys()
    if name == "stylegan3-r-64":
        moved = [key for key in whole if key.endswith("magnitude_ema")]
        assert moved and all(not torch.equal(whole[key], half[key]) for key in moved)


def test_lazy_steps(bench: Any) -> None:
    recipe = small("stylegan2-64", **{"penalties.r1.every": 2, "penalties.path_length.every": 4})
    phases = build_phases(recipe)
    assert lazy_ratio(phases, "generator") == 4 / 5 and lazy_ratio(phases, "discriminator") == 2 / 3
    assert lazy_ratio(build_phases(recipes.load("wgan-gp")), "discriminator") == 1.0
    trained = bench(recipe)
    group = trained.state.discriminator_optim.param_groups[0]
    assert group["lr"] == pytest.approx(2.5e-3 * 2 / 3) and group["betas"] == pytest.approx((0, 0.99 ** (2 / 3)))

    def steps(optimiser: torch.optim.Optimizer) -> int:
        return int(next(iter(optimiser.state.values()))["step"])

    counts = []
    for _ in range(4):
        trained.step()
        counts.append((steps(trained.state.discriminator_optim), steps(trained.state.generator_optim)))
    assert counts == [(2, 2), (3, 3), (5, 4), (6, 5)]


def test_annealing(bench: Any) -> None:
    trained = bench(small("r3gan-64"))
    for clock, lr, beta2, halflife in ((0, 2e-4, 0.9, 0), (150_000, 1.25e-4, 0.945, 10_000), (10**9, 5e-5, 0.99, 2e4)):
        trained.state.images_seen = clock // 8 * 8
        trained.step()
        for optimiser in (trained.state.generator_optim, trained.state.discriminator_optim):
            group = optimiser.param_groups[0]
            assert group["lr"] == pytest.approx(lr, rel=1e-3) and group["betas"][1] == pytest.approx(beta2, rel=1e-3)
        assert trained.state.ema.halflife == pytest.approx(halflife, rel=1e-3, abs=1e-3)
    penalties = [recipes.load("r3gan").optim.annealing.at(c, 1.0, 0.1) for c in (0, 10**7, 2 * 10**7)]
    assert penalties == pytest.approx([1, 0.55, 0.1])


def test_mixed_styles(bench: Any) -> None:
    trained = bench(small("stylegan2-64", **{"extras.style_mixing": 1.0}))
    generator = trained.state.generator
    assert isinstance(generator, StyleGenerator)
    latents = torch.randn(4, 8)
    plain = generator.styles(latents)
    cutoffs = set()
    for seed in range(30):
        mixed = trained.trainer.loss.styles(latents, None, torch.Generator().manual_seed(seed))
        own = (mixed == plain).all(2).all(0)
        cutoff = int(own.sum())
        cutoffs.add(cutoff)
        assert own[:cutoff].all() and 1 <= cutoff < generator.num_ws
        assert torch.equal(mixed[:, cutoff], mixed[:, -1])
    assert cutoffs == set(range(1, generator.num_ws))
    never = bench(small("stylegan2-64", **{"extras.style_mixing": 0.0}))
    latents = torch.randn(4, 8)
    plain = never.state.generator.styles(latents)
    assert torch.equal(never.trainer.loss.styles(latents, None, torch.Generator()), plain)


def test_averages_move_in_the_discriminators_step_only(bench: Any) -> None:
    trained = bench(small("stylegan3-t-64", **{"generator.num_layers": 4}))
    generator = trained.state.generator
    batch = trained.sampler.at(0)

    def averages() -> list[Tensor]:
        names = ("w_avg", "magnitude_ema")
        return [b.clone() for n, b in generator.named_buffers() if n.endswith(names)]

    before = averages()
    trained.trainer.generator_step([batch])
    assert all(torch.equal(a, b) for a, b in zip(before, averages(), strict=True))
    trained.trainer.discriminator_step([batch])
    assert all(not torch.equal(a, b) for a, b in zip(before, averages(), strict=True))


def test_the_slope_is_taken_through_the_augmentation(bench: Any) -> None:
    """It is 0 where a cutout hides the picture, for which the score is another."""
    trained = bench(small("stylegan2-64", **{"extras.augment": {"name": "diffaugment", "policy": ["cutout"]}}))
    images = trained.sampler.at(0).images.requires_grad_()
    (slope,) = torch.autograd.grad(trained.trainer.loss.discriminate(images, "r1").scores.sum(), images)
    hidden = (slope == 0).all(1)
    assert (hidden.flatten(1).sum(1) > 0).all() and (hidden.flatten(1).sum(1) <= 64).all()
    other = images.detach() + hidden[:, None] * 0.5
    assert torch.equal(
        trained.trainer.loss.discriminate(other, "r1").scores, trained.trainer.loss.discriminate(images, "r1").scores
    )
    assert not torch.equal(
        trained.trainer.loss.discriminate(other, "real").scores,
        trained.trainer.loss.discriminate(images, "real").scores,
    )


@pytest.mark.parametrize("key", ["penalties.path_length.weight", "extras.style_mixing"])
def test_only_style_networks_have_styles(key: str) -> None:
    with pytest.raises(UsageError, match=rf"'{key}' needs .*stylegan2"):
        check_networks(small("dcgan", **{key: 0.5}))
