"""Penalties on discriminators whose gradient is known, with the widely copied mistakes as negative controls."""

import pytest
import torch

from kaogan.losses import clip_weights, gradient_penalty, zero_centred

SHAPE = (3, 8, 8)


@pytest.fixture
def slope() -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(1)) / 3


@pytest.mark.parametrize("target", [0.0, 1.0, 2.5])
def test_gradient_penalty_of_a_linear_discriminator(slope: torch.Tensor, target: float) -> None:
    """D(x) = <a, x>: (|a| - target)^2, whatever the pictures. The norm over channels or of each pixel gives another."""
    expected = (slope.norm() - target).square()
    for seed in range(3):
        torch.manual_seed(seed)
        real, fake, share = torch.randn(5, *SHAPE), torch.randn(5, *SHAPE), torch.rand(5)
        found = gradient_penalty(lambda x: (x * slope).sum((1, 2, 3)), real, fake, share, target)
        torch.testing.assert_close(found, expected)
    per_pixel = (slope.norm(dim=0) - target).square().mean()
    assert not torch.isclose(per_pixel, expected)


def test_gradient_penalty_is_taken_on_the_lines_between_pairs() -> None:
    real, fake = torch.randn(6, *SHAPE), torch.randn(6, *SHAPE)
    seen = []

    def scores(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.detach())
        return x.square().sum((1, 2, 3))

    share = torch.tensor([0.0, 1.0, 0.5, 0.25, 0.75, 0.1])
    gradient_penalty(scores, real, fake, share)
    for point, r, f, s in zip(seen[0], real, fake, share, strict=True):
        torch.testing.assert_close(point, s * r + (1 - s) * f)  # one share for a whole picture


def test_zero_centred_of_a_linear_discriminator(slope: torch.Tensor) -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        found = zero_centred(lambda x: (x * slope).sum((1, 2, 3)), torch.randn(4, *SHAPE))
        torch.testing.assert_close(found, slope.square().sum())


def test_zero_centred_of_a_quadratic_discriminator() -> None:
    """D(x) = x'Ax / 2 with symmetric A: the mean of |Ax|^2."""
    a = torch.randn(12, 12)
    a = a + a.T
    images = torch.randn(7, 3, 2, 2)
    found = zero_centred(lambda x: ((x.flatten(1) @ a) * x.flatten(1)).sum(1) / 2, images)
    torch.testing.assert_close(found, (images.flatten(1) @ a).square().sum(1).mean(), rtol=1e-4, atol=1e-4)


def test_penalties_reach_the_weights() -> None:
    weight = torch.randn(SHAPE, requires_grad=True)
    images = torch.randn(4, *SHAPE)
    zero_centred(lambda x: (x * weight).sum((1, 2, 3)), images).backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, 2 * weight.detach())


def test_clipping_touches_only_what_is_out_of_bounds() -> None:
    weights = [torch.tensor([-2.0, -0.005, 0.0, 0.01, 7.0]), torch.tensor([0.5])]
    clip_weights(weights, 0.01)
    torch.testing.assert_close(weights[0], torch.tensor([-0.01, -0.005, 0.0, 0.01, 0.01]))
    torch.testing.assert_close(weights[1], torch.tensor([0.01]))
