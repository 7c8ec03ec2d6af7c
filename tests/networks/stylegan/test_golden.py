"""StyleGAN2 and StyleGAN3 give the numbers of the originals: weights by a fixed rule, pictures as published code makes
them (float32, noise ``const``, truncation 0.7)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kaogan.networks import build_discriminator, build_generator, count_parameters
from kaogan.networks.stylegan import (
    StyleGAN2DiscriminatorSettings,
    StyleGAN2GeneratorSettings,
    StyleGAN3GeneratorSettings,
)
from kaogan.networks.stylegan.filters import design_lowpass

NARROW: dict[str, Any] = {"channel_base": 2048, "channel_max": 64}


def stylegan2(**settings: Any) -> nn.Module:
    return generator(StyleGAN2GeneratorSettings(w_dim=64, **NARROW, **settings))


def stylegan3(kind: str, layers: int) -> nn.Module:
    extra: dict[str, Any] = {"conv_kernel": 1, "use_radial_filters": True} if kind == "r" else {}
    return generator(StyleGAN3GeneratorSettings(w_dim=64, num_layers=layers, **NARROW, **extra))


def generator(settings: Any) -> nn.Module:
    return build_generator(settings, latent_size=64, attribute_size=3, image_size=64, channels=3)


def discriminator(c_dim: int, **settings: Any) -> nn.Module:
    made = StyleGAN2DiscriminatorSettings(**NARROW, **settings)
    return build_discriminator(made, attribute_sizes=(c_dim,) if c_dim else (), image_size=64, channels=3)


def filled(network: nn.Module) -> tuple[nn.Module, int]:
    """The network with numbers for weights, and how many tensors were filled."""
    state = network.state_dict()
    names = [name for name in sorted(state) if not name.endswith("_filter")]
    for index, name in enumerate(names):
        drawn = np.random.RandomState(1000 + index).standard_normal(tuple(state[name].shape))
        state[name].copy_(rescaled(name, torch.as_tensor(drawn).float()))
    return network.eval(), len(names)


def rescaled(name: str, v: Tensor) -> Tensor:
    if name.startswith("mapping.fc"):
        return v * (100 if name.endswith("weight") else 10)
    if name == "mapping.w_avg":
        return 0.1 * v
    if name.endswith("input.transform"):
        cos, sin = math.cos(0.3), math.sin(0.3)
        return torch.tensor([[cos, -sin, 0.05], [sin, cos, -0.1], [0, 0, 1]])
    if name.endswith("input.freqs"):
        return 1.5 * v
    if name.endswith("input.phases"):
        return 0.3 * v
    if name.endswith("input.affine.weight"):
        return 0.1 * v
    if name.endswith("input.affine.bias"):
        return torch.tensor([1.0, 0, 0, 0]) + 0.1 * v
    if name.endswith("affine.bias"):
        return 1 + 0.1 * v
    if name.endswith("magnitude_ema"):
        return 0.5 + v.abs()
    if name.endswith(("noise_strength", ".bias")):
        return 0.1 * v
    return v


GENERATORS = {
    "stylegan2": (
        lambda: stylegan2(), 94, 379_832, (0.799639, 0.282899, -0.167173, 0.046165), (-0.318884, 0.830067),
        (0.105936, -0.187189, 0.204160, 0.438381, 0.237705, -0.230224)),
    "stylegan2 resnet": (
        lambda: stylegan2(architecture="resnet"), 82, 376_748, (0.799639, 0.282899, -0.167173, 0.046165),
        (-0.247968, 0.566568), (-0.006675, -1.188472, -0.121833, -0.798401, -0.271286, 0.052155)),
    "t 6": (
        lambda: stylegan3("t", 6), 48, 217_511, (2.540909, -0.093539, -0.233133, -0.152899), (0.058353, 0.060046),
        (0.121343, 0.121496, 0.090579, -0.023593, 0.072958, -0.027141)),
    "t 14": (
        lambda: stylegan3("t", 14), 88, 510_869, (2.540909, -0.093539, -0.233133, -0.152899), (0.004073, 0.044586),
        (-0.001128, -0.005110, 0.060746, -0.029410, -0.035967, -0.026444)),
    "r 6": (
        lambda: stylegan3("r", 6), 48, 61_863, (2.540909, -0.093539, -0.233133, -0.152899), (-0.006807, 0.044665),
        (0.001539, 0.002259, -0.019366, -0.058387, 0.056222, -0.060413)),
    "r 14": (
        lambda: stylegan3("r", 14), 88, 122_325, (2.540909, -0.093539, -0.233133, -0.152899), (0.002420, 0.045381),
        (0.023777, 0.035222, 0.021722, -0.091580, -0.008010, -0.028240)),
}  # fmt: skip


def inputs() -> tuple[Tensor, Tensor]:
    return torch.as_tensor(np.random.RandomState(1).standard_normal((2, 64))).float(), torch.eye(3)[[0, 2]]


def close(found: Tensor, expected: Any, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=tolerance)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("case", GENERATORS)
def test_generator(case: str, layout: torch.memory_format) -> None:
    build, tensors, parameters, w, moments, pixels = GENERATORS[case]
    network, count = filled(build())
    assert (count, count_parameters(network)) == (tensors, parameters)
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    with torch.no_grad():
        close(network.styles(*inputs(), truncation=0.7)[0, 0, :4], w)
        images = network(*inputs(), truncation=0.7)
    close(torch.stack([images.mean(), images.std(correction=0)]), moments)
    where = ((0, 0, 0, 0), (0, 0, 31, 17), (0, 1, 31, 17), (0, 2, 31, 17), (1, 0, 63, 63), (1, 2, 5, 40))
    close(torch.stack([images[at] for at in where]), pixels)


def test_inside_stylegan3() -> None:
    network, _ = filled(stylegan3("t", 6))
    with torch.no_grad():
        styles = network.styles(*inputs(), truncation=0.7)
        features = network.synthesis.input(styles[:, 0])
        maps = network.synthesis.L0_36_64(features, styles[:, 1])
    assert features.shape == (2, 64, 36, 36)
    close(features[0, 0, 0, :3], (-0.311125, 0.043789, 0.520342))
    close(features[1, 63, 20, 30], -0.600917)
    close(torch.stack([features.mean(), features.std(correction=0)]), (0.001723, 0.656760))
    close(maps[0, 0, 0, :3], (-0.091897, -0.065692, -0.003036))
    close(torch.stack([maps.mean(), maps.std(correction=0)]), (0.157407, 0.298540))


DISCRIMINATORS = {
    "conditional": (3, {}, 46, (-0.193284, -0.035036, -0.694562, -0.160111)),
    "resnet": (0, {}, 28, (0.078550, 0.091412, 0.051171, 0.123928)),
    "skip": (0, {"architecture": "skip"}, 32, (-0.524883, -0.477022, -0.575297, -0.517433)),
    "orig": (0, {"architecture": "orig"}, 24, (-0.148766, -0.116688, -0.135698, -0.124488)),
}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("case", DISCRIMINATORS)
def test_discriminator(case: str, layout: torch.memory_format) -> None:
    c_dim, settings, tensors, expected = DISCRIMINATORS[case]
    network, count = filled(discriminator(c_dim, **settings))
    assert count == tensors
    images = torch.as_tensor(np.tanh(np.random.RandomState(2).standard_normal((4, 3, 64, 64)))).float()
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    with torch.no_grad():
        scores = network(images.to(memory_format=layout), torch.eye(3)[[0, 1, 2, 0]] if c_dim else None).scores
    close(scores, expected)


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        ((24, 4, 4, 64), (-0.001638, -0.003055, -0.003715, -0.002145, 0.003312, 0.013982, 0.030284, 0.051312, 0.074753,
                          0.097216, 0.114951, 0.124744)),
        ((12, 16, 16, 128), (-0.003854, -0.006146, 0.015373, 0.079649, 0.172352, 0.242626)),
        ((12, 8, 8, 64), (-0.003854, -0.006146, 0.015373, 0.079649, 0.172352, 0.242626)),
        ((12, 32, 7.3966, 128), (0.023374, 0.034449, -0.050881, -0.078615, 0.139610, 0.432062)),
    ],
)  # fmt: skip
def test_filters(design: tuple[Any, ...], expected: tuple[float, ...]) -> None:
    taps = design_lowpass(*design)
    assert taps is not None
    close(taps[: len(expected)], expected, 1e-6)
    torch.testing.assert_close(taps, taps.flip(0))


def test_radial_filter() -> None:
    taps = design_lowpass(12, 8, 8, 64, radial=True)
    assert taps is not None and taps.shape == (12, 12)
    close(taps[0, :6], (-0.000022, -0.000101, -0.000217, -0.000305, -0.000328, -0.000313), 1e-6)
    close(taps[5, :6], (-0.000313, 0.000746, 0.006807, 0.019991, 0.036923, 0.049115), 1e-6)


SIZES = {
    # image size, T channel_base, expected output channels of T, of R (twice the settings)
    64: ((512,) * 14, (1024,) * 14),
    128: ((512,) * 10 + (456, 342, 256, 256), (1024,) * 10 + (912, 683, 512, 512)),
    256: ((512,) * 9 + (362, 256, 181, 128, 128), (1024,) * 9 + (724, 512, 362, 256, 256)),
    512: ((512,) * 7 + (483, 323, 215, 144, 96, 64, 64), (1024,) * 7 + (967, 645, 431, 287, 192, 128, 128)),
    1024: ((512,) * 7 + (323, 203, 128, 81, 51, 32, 32), (1024,) * 7 + (645, 406, 256, 161, 102, 64, 64)),
}
RATES = {
    64: [16] * 4 + [32] * 4 + [64] * 7,
    128: [16] * 3 + [32] * 3 + [64] * 3 + [128] * 6,
    256: [16] * 3 + [32] * 2 + [64] * 2 + [128] * 3 + [256] * 5,
    512: [16] * 2 + [32] * 2 + [64] * 2 + [128] * 2 + [256] * 2 + [512] * 5,
    1024: [16] * 2 + [32] * 2 + [64] + [128] * 2 + [256] * 2 + [512] + [1024] * 5,
}


@pytest.mark.parametrize("size", SIZES)
def test_published_schedules(size: int) -> None:
    from kaogan.networks.stylegan.stylegan3 import schedule

    for settings, channels in zip(({}, {"channel_base": 65536, "channel_max": 1024}), SIZES[size], strict=True):
        entries = schedule(StyleGAN3GeneratorSettings(**settings), size, 3)
        assert tuple(e.channels for e in entries) == (*channels, 3)
        assert [e.rate for e in entries] == RATES[size]
        assert [e.size for e in entries] == [rate + 20 for rate in RATES[size][:-2]] + [size] * 2


@pytest.mark.parametrize(
    ("settings", "size", "parameters"),
    [
        (StyleGAN2GeneratorSettings(), 1024, 30_370_060),
        (StyleGAN2GeneratorSettings(), 512, 30_276_583),
        (StyleGAN2GeneratorSettings(), 256, 30_034_338),
        (StyleGAN2GeneratorSettings(channel_base=16384), 256, 24_767_458),
        (StyleGAN2GeneratorSettings(), 64, 27_032_600),
        (StyleGAN3GeneratorSettings(), 1024, 22_313_167),
        (StyleGAN3GeneratorSettings(), 256, 28_472_133),
        (StyleGAN3GeneratorSettings(), 64, 37_768_199),
        (r := StyleGAN3GeneratorSettings(channel_base=65536, channel_max=1024, conv_kernel=1, use_radial_filters=True),
         1024, 15_093_151),
        (r, 256, 18_816_387),
        (r, 64, 24_153_095),
    ],
)  # fmt: skip
def test_published_sizes(settings: Any, size: int, parameters: int) -> None:
    with torch.device("meta"):
        made = build_generator(settings, latent_size=512, attribute_size=0, image_size=size, channels=3)
    assert count_parameters(made) == parameters


@pytest.mark.parametrize(
    ("size", "base", "parameters"),
    [(1024, 32768, 29_012_513), (512, 32768, 28_982_849), (256, 32768, 28_864_129), (256, 16384, 24_001_089),
     (64, 32768, 26_488_833)],
)  # fmt: skip
def test_published_sizes_of_the_discriminator(size: int, base: int, parameters: int) -> None:
    with torch.device("meta"):
        settings = StyleGAN2DiscriminatorSettings(channel_base=base)
        made = build_discriminator(settings, attribute_sizes=(), image_size=size, channels=3)
    assert count_parameters(made) == parameters
