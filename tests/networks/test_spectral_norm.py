"""All spectral norms of a network at once against PyTorch's, one after the other."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from kaogan.networks.spectral_norm import normalised_once


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 8, 4, 2, 1),
        nn.ConvTranspose2d(8, 6, 4, 2, 1),
        nn.Conv2d(6, 5, 8),
        nn.Flatten(),
        nn.Linear(5, 2),
    ]
    return nn.Sequential(*(spectral_norm(layer) if hasattr(layer, "weight") else layer for layer in layers)).double()


def results(net: nn.Sequential, images: Tensor) -> list[Tensor]:
    """Of a loss with a gradient penalty, over two passes: its gradients."""
    images = images.clone().requires_grad_()
    scores = net(images).tanh().sum()
    (slope,) = torch.autograd.grad(scores, images, create_graph=True)
    (scores + slope.square().sum() + net(images.flip(0)).square().sum()).backward()
    return [weight.grad for weight in net.parameters()]  # type: ignore[misc]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_all_at_once_equals_one_after_the_other(layout: torch.memory_format) -> None:
    plain = network().to(memory_format=layout)
    together = copy.deepcopy(plain)
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        plain.zero_grad()
        together.zero_grad()
        with parametrize.cached():
            expected = results(plain, images)
        with normalised_once(together):
            found = results(together, images)
        for a, b in zip(expected, found, strict=True):
            torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-12)
        for (name, a), b in zip(plain.state_dict().items(), together.state_dict().values(), strict=True):
            torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-12, msg=name)


def test_networks_in_evaluation_and_without_the_norm_are_left_as_they_are() -> None:
    evaluated, bare = network().eval(), nn.Sequential(nn.Conv2d(3, 2, 3))
    before = copy.deepcopy(evaluated.state_dict())
    images = torch.ones(1, 3, 8, 8, dtype=torch.float64)
    expected = evaluated(images)
    with normalised_once(evaluated), normalised_once(bare):
        assert torch.equal(evaluated(images), expected)
        bare(images.float())
    assert all(torch.equal(value, before[name]) for name, value in evaluated.state_dict().items())


def test_a_layer_that_a_loss_does_not_use_gets_no_gradient() -> None:
    net = network()
    with normalised_once(net):
        net[0](torch.ones(1, 3, 8, 8, dtype=torch.float64)).square().sum().backward()
    grads = {name: weight.grad for name, weight in net.named_parameters()}
    assert grads.pop("0.bias") is not None and grads.pop("0.parametrizations.weight.original") is not None
    assert all(grad is None for grad in grads.values())
