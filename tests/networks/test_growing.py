"""The growing generator: its base is dcgan's, its detail begins at nothing and comes by the clock."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.networks import build_generator
from kaogan.networks.dcgan import DCGANGeneratorSettings, binomial
from kaogan.networks.growing import GrowingGeneratorSettings, blur

SHAPE = {"latent_size": 6, "attribute_size": 0, "channels": 3}


def growing(size: int = 64, **settings) -> nn.Module:
    torch.manual_seed(0)
    chosen = GrowingGeneratorSettings(width=8, base_size=16, output_filter="binomial", **settings)
    return build_generator(chosen, image_size=size, **SHAPE)


def base_of(network: nn.Module, **settings) -> nn.Module:
    """dcgan's generator of the base size with the weights of the same names: all that it has."""
    chosen = DCGANGeneratorSettings(width=8, output_filter="binomial", **settings)
    base = build_generator(chosen, image_size=16, **SHAPE)
    base.load_state_dict({name: network.state_dict()[name] for name in base.state_dict()})
    return base


def enlarged(x: Tensor) -> Tensor:
    """Twice as large by [1 3 3 1] / 4 along both sides of the pixels with zeros between them."""
    channels = x.shape[1]
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    kernel = (taps[:, None] * taps).expand(channels, 1, 4, 4)
    return F.conv_transpose2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, padding=3, groups=channels)


@pytest.mark.parametrize("to_rgb", ["doubling", "conv"])
@pytest.mark.parametrize("size", [16, 32, 64])
def test_it_begins_as_its_base_enlarged(size, to_rgb):
    network = growing(size, to_rgb=to_rgb).train()
    base = base_of(network, to_rgb=to_rgb).train()
    latents = torch.randn(4, 6)
    with torch.no_grad():
        expected = base(latents).atanh()
        while expected.shape[2] < size:
            expected = enlarged(expected)
        torch.testing.assert_close(network(latents), expected.tanh(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("to_rgb", ["doubling", "conv"])
def test_detail_is_neither_made_nor_moved_before_its_time(to_rgb):
    network = growing(grow_at=32, to_rgb=to_rgb)
    network.lr_multiplier(0)
    assert not network.grown
    network(torch.randn(4, 6)).square().sum().backward()
    assert all((weight.grad is None) == name.startswith("details") for name, weight in network.named_parameters())
    assert all(not value for name, value in network.named_buffers() if name.startswith("details") and "tracked" in name)
    network.lr_multiplier(32)
    assert network.grown
    network(torch.randn(4, 6)).square().sum().backward()
    assert all(detail.rgb[0].weight.grad.any() for detail in network.details)


def test_a_network_that_has_grown_stays_so_from_the_start():
    network = growing(grow_at=32)
    nn.init.normal_(network.details[1].rgb[0].weight)
    network.lr_multiplier(0)
    assert network.grown


def test_detail_holds_no_checkerboard():
    """What alternates from pixel to pixel is no part of what the detail adds, inside of the borders."""
    network = growing(32)
    (detail,) = network.details
    nn.init.normal_(detail.rgb[0].weight)
    _, colours = detail(torch.rand(2, 8, 8, 8))
    sign = torch.tensor([1.0, -1.0]).repeat(14)
    inside = colours[:, :, 2:-2, 2:-2]
    plain = detail.rgb(detail(torch.rand(2, 8, 8, 8))[0])[:, :, 2:-2, 2:-2]
    for pattern in (sign.expand(28, 28), sign[:, None] * sign):
        assert (inside * pattern).mean((2, 3)).abs().max() < 0.2 * (plain * pattern).mean((2, 3)).abs().max()


def test_blur_is_the_binomial_filter():
    x = torch.randn(2, 3, 9, 7)
    torch.testing.assert_close(blur(x), binomial(x))
