"""The penalty on the fixed pattern: values by hand, its direction, its schedule, its state."""

from __future__ import annotations

import pytest
import torch

from kaogan.config import recipes
from kaogan.core.errors import UsageError
from kaogan.losses.extras import EXTRAS, StepContext
from kaogan.losses.extras.fixed_pattern import FixedPattern, high_pass
from kaogan.training.state import check_networks


def build(**settings: float) -> FixedPattern:
    recipe = recipes.load("dcgan", {f"extras.fixed_pattern.{key}": value for key, value in settings.items()})
    extra = EXTRAS["fixed_pattern"](recipe.extras.fixed_pattern, recipe)
    assert isinstance(extra, FixedPattern)
    return extra


def context(extra: FixedPattern, images_seen: int) -> StepContext:
    def no_reals(purpose: str, count: int) -> None:
        raise AssertionError("the penalty draws nothing")

    return StepContext(extra.recipe, images_seen, torch.device("cpu"), no_reals)  # type: ignore[arg-type]


def test_high_pass_of_one_pixel() -> None:
    """Flat pictures have none; a single pixel keeps 1 - (6/16)²."""
    assert high_pass(torch.full((1, 3, 9, 9), 0.3)).abs().max() < 1e-6
    pixel = torch.zeros(1, 1, 9, 9)
    pixel[0, 0, 4, 4] = 1
    assert high_pass(pixel)[0, 0, 4, 4] == pytest.approx(1 - 36 / 256)


def test_off_by_default() -> None:
    assert not build().active and build(weight=1).active


def test_the_gradient_takes_the_pattern_away() -> None:
    """Fakes with a bright pixel that reals don't have: the step darkens it in every picture, and nothing much else."""
    extra = build(weight=1, start=0, ramp=1)
    fake = torch.zeros(4, 1, 9, 9)
    fake[:, :, 4, 4] = 1
    fake.requires_grad_(True)
    loss = extra.generator_loss(torch.zeros(4, 1, 9, 9), fake, context(extra, 10))
    assert loss is not None and loss > 0
    (gradient,) = torch.autograd.grad(loss, fake)
    assert (gradient[:, 0, 4, 4] > 0).all()
    assert gradient.abs().amax() == gradient[0, 0, 4, 4]


def test_equal_means_cost_nothing() -> None:
    extra = build(weight=1, start=0, ramp=1)
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert extra.generator_loss(images, images.flip(0), context(extra, 10)) == pytest.approx(0, abs=1e-9)


def test_it_rises_from_its_start() -> None:
    real, fake = torch.zeros(4, 1, 8, 8), torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def at(images_seen: int) -> float | None:
        extra = build(weight=3, start=100, ramp=50)
        loss = extra.generator_loss(real, fake, context(extra, images_seen))
        return None if loss is None else float(loss)

    full = at(10_000)
    assert at(0) is None and at(100) is None and full is not None
    assert at(125) == pytest.approx(full / 2)
    assert at(150) == pytest.approx(full)


def test_means_run_over_the_horizon_and_resume() -> None:
    first = build(weight=1, horizon=8)
    generator = torch.Generator().manual_seed(0)
    batches = [torch.rand(2, 4, 1, 8, 8, generator=generator) for _ in range(3)]
    for real, fake in batches[:2]:
        first.generator_loss(real, fake, context(first, 0))
    passes = [high_pass(pair.flip(0).mean(1)) for pair in batches]  # fakes first
    expected = passes[0].lerp(passes[1], 0.5)  # 4 of the last 8 pictures
    torch.testing.assert_close(first.means, expected)

    second = build(weight=1, horizon=8)
    second.load_state_dict(first.state_dict())
    for extra in (first, second):
        extra.generator_loss(*batches[2], context(extra, 0))
    assert first.means is not None and torch.equal(first.means, second.means)  # type: ignore[arg-type]


def test_a_coarser_octave_is_the_penalty_of_pictures_half_as_large() -> None:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.rand(2, 4, 1, 16, 16, generator=generator)
    halved = [torch.nn.functional.avg_pool2d(images, 2) for images in (real, fake)]
    both, fine, coarse = (build(weight=1, start=0, ramp=1, octaves=octaves) for octaves in (2, 1, 1))
    loss = both.generator_loss(real, fake, context(both, 10))
    parts = [fine.generator_loss(real, fake, context(fine, 10)), coarse.generator_loss(*halved, context(coarse, 10))]
    assert loss == pytest.approx(float(parts[0]) + float(parts[1]))  # type: ignore[arg-type]
    again = build(weight=1, octaves=2)
    again.load_state_dict(both.state_dict())
    torch.testing.assert_close(again.statistics["means_1"], coarse.means, rtol=0, atol=1e-6)


def test_more_octaves_than_the_picture_has_are_refused() -> None:
    for octaves, fits in ((5, True), (6, False)):
        recipe = recipes.load("dcgan", {"image_size": 16, "extras.fixed_pattern": {"weight": 1, "octaves": octaves}})
        if fits:
            check_networks(recipe)
            images = torch.rand(2, 3, 16, 16)
            extra = build(weight=1, octaves=octaves)
            extra.generator_loss(images, images, context(extra, 0))
        else:
            with pytest.raises(UsageError, match=r"octaves is 6.*16 px.*5 or less"):
                check_networks(recipe)
