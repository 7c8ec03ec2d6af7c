"""The networks against what they are defined by: published sizes, plain formulas, how far they see."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kaogan.aux_models.upscaler.networks import (
    KaoSR,
    KaoSRSettings,
    SRGANGenerator,
    SRGANSettings,
    bicubic,
    build,
)
from kaogan.networks import count_parameters
from kaogan.training.upscaler.discriminators import PatchDiscriminator, SRGANDiscriminator
from tests.small import TINY_UPSCALER as TINY


def test_sizes_of_srgan_as_published() -> None:
    assert count_parameters(SRGANGenerator(SRGANSettings())) == 807_692
    assert count_parameters(SRGANDiscriminator()) == 5_215_425


def test_kao_sr_fits_into_six_megabytes_of_float16() -> None:
    assert 2 * count_parameters(build(KaoSRSettings())) < 6 * 2**20


def test_names_of_srgans_tensors() -> None:
    state = SRGANGenerator(SRGANSettings()).state_dict()
    assert len(state) == 77
    for name, shape in {
        "conv1.0.weight": (64, 3, 9, 9),
        "conv1.1.weight": (1,),
        "residual4.net.4.running_var": (64,),
        "conv2.0.bias": (64,),
        "upsample.2.net.0.weight": (256, 64, 3, 3),
        "upsample.2.net.2.weight": (1,),
        "upsample.3.weight": (3, 64, 9, 9),
    }.items():
        assert tuple(state[name].shape) == shape
    discriminator = SRGANDiscriminator().state_dict()
    numbers = {int(name.split(".")[1]) for name in discriminator}
    assert numbers == {0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 21, 24, 26}


def test_srgan_is_what_ganime_computes_in_zero_to_one() -> None:
    torch.manual_seed(0)
    network = SRGANGenerator(SRGANSettings(width=4, blocks=2, scales=(4,))).eval()
    unit = torch.rand(2, 3, 5, 6)
    net = dict(network.named_modules())
    x = first = net["conv1"](unit)
    for block in ("residual1", "residual2"):
        layers = list(net[f"{block}.net"])
        x = x + nn.Sequential(*layers)(x)
    x = net["conv2"](x) + first
    for doubling in ("upsample.0", "upsample.1"):
        x = net[f"{doubling}.net.2"](F.pixel_shuffle(net[f"{doubling}.net.0"](x), 2))
    wanted = (torch.tanh(net["upsample.2"](x)) + 1) / 2
    assert torch.allclose((network(unit * 2 - 1, 4) + 1) / 2, wanted, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 12)])
def test_sizes_of_results(scale: int, size: tuple[int, int]) -> None:
    assert KaoSR(TINY)(torch.zeros(2, 3, *size), scale).shape == (2, 3, size[0] * scale, size[1] * scale)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("size", [(9, 14), (1, 3), (16, 33)])
def test_bicubic_is_pytorchs(scale: int, size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size)
    wanted = F.interpolate(images, scale_factor=scale, mode="bicubic", align_corners=False)
    assert torch.allclose(bicubic(images, scale), wanted, atol=1e-5)


def test_nothing_beyond_reach_has_influence_and_something_near_it_has() -> None:
    torch.manual_seed(0)
    network = KaoSR(TINY).eval()
    reach, side = network.reach, 4 * network.reach
    images = torch.rand(1, 3, 4, side, requires_grad=True)
    middle = side // 2
    network(images, 2)[..., 2 * middle].sum().backward()
    assert images.grad is not None
    felt = images.grad.abs().sum((0, 1, 2)).nonzero().flatten()
    assert felt.min() >= middle - reach and felt.max() <= middle + reach
    assert felt.max() - felt.min() > reach  # the bound is not idle


def test_discriminators_score_pictures_and_places() -> None:
    assert SRGANDiscriminator()(torch.zeros(2, 3, 16, 24)).shape == (2,)
    assert PatchDiscriminator(4)(torch.zeros(2, 3, 16, 24)).shape == (2, 1, 2, 3)
