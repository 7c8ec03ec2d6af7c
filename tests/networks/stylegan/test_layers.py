"""Resampling and modulated layers against slow obvious twins: insert zeros, convolve, slice; a kernel a picture."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from kaogan.networks.stylegan import (
    StyleGAN2DiscriminatorSettings,
    StyleGAN2Generator,
    StyleGAN2GeneratorSettings,
    StyleGAN3Generator,
    StyleGAN3GeneratorSettings,
    resampling,
    stylegan2,
    stylegan3,
)
from kaogan.networks.stylegan import discriminator as discriminators
from kaogan.networks.stylegan.filters import prepare_filter
from kaogan.networks.stylegan.layers import Conv2d, Linear, demodulation, resampled_conv2d
from kaogan.networks.stylegan.resampling import (
    _flipped,
    downsample,
    filter_same,
    filtered_leaky_relu,
    upfirdn,
    upsample,
    upsample_bilinear,
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=["processor", "device"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resampling as it is done on a CPU, and as on a device."""
    monkeypatch.setattr(resampling, "_few_launches", lambda x: request.param == "device")


def slow_upfirdn(
    x: Tensor, taps: Tensor, up: int = 1, down: int = 1, padding: tuple[int, ...] = (0, 0, 0, 0), gain: float = 1.0,
    flip: bool = False,
) -> Tensor:  # fmt: skip
    """By definition: every sum written out with zeros in it."""
    matrix = (taps.outer(taps) if taps.dim() == 1 else taps) * gain
    count, channels, height, width = x.shape
    raised = x.new_zeros(count, channels, up * height, up * width)
    raised[:, :, ::up, ::up] = x
    raised = F.pad(raised, padding)
    if not flip:
        matrix = matrix.flip(0, 1)  # a true convolution
    rows, columns = matrix.shape
    out = x.new_zeros(count, channels, raised.shape[2] - rows + 1, raised.shape[3] - columns + 1)
    for i in range(rows):
        for j in range(columns):
            out += matrix[i, j] * raised[:, :, i : i + out.shape[2], j : j + out.shape[3]]
    return out[:, :, ::down, ::down]


CASES = [
    (up, down, taps, padding)
    for up in (1, 2, 3, 4)
    for down in (1, 2, 3)
    for taps in (3, 12)
    for padding in ((7, 6, 5, 8), (11, 3, 11, 3), (6, 9, 9, 6), (5, -4, -3, 12), (13, 13, 13, 13))
]


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("matrix", [False, True])
@pytest.mark.parametrize(("up", "down", "length", "padding"), CASES)
def test_upfirdn(up: int, down: int, length: int, padding: tuple[int, ...], matrix: bool) -> None:
    x = torch.randn(2, 3, 9, 11, dtype=torch.float64)
    taps = torch.randn((length, length) if matrix else (length,), dtype=torch.float64)
    for flip in (False, True):
        expected = slow_upfirdn(x, taps, up, down, padding, 1.7, flip)
        found = upfirdn(x, taps, up, down, padding, 1.7, flip)
        sizes = [(up * n + sum(padding[2 * a : 2 * a + 2]) - length) // down + 1 for a, n in enumerate((11, 9))]
        assert found.shape == (2, 3, sizes[1], sizes[0])
        torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize(("length", "up"), [(4, 2), (12, 2), (12, 4), (6, 3)])
def test_named_operations(length: int, up: int) -> None:
    x = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    taps = torch.rand(length, dtype=torch.float64)
    taps = taps / taps.sum()
    p0, p1 = (length + up - 1) // 2, (length - up) // 2
    torch.testing.assert_close(upsample(x, taps, up), slow_upfirdn(x, taps, up, 1, (p0, p1, p0, p1), up**2))
    p0, p1 = (length - up + 1) // 2, (length - up) // 2
    torch.testing.assert_close(downsample(x, taps, up), slow_upfirdn(x, taps, 1, up, (p0, p1, p0, p1)))
    p0, p1 = length // 2, (length - 1) // 2
    torch.testing.assert_close(filter_same(x, taps), slow_upfirdn(x, taps, 1, 1, (p0, p1, p0, p1)))
    assert upsample(x, taps, up).shape[2] == 12 * up and downsample(x, taps, up).shape[2] == 12 // up


@pytest.mark.usefixtures("_both_ways")
def test_bilinear_enlarging_is_the_published_filter() -> None:
    x, taps = torch.randn(2, 3, 5, 6, dtype=torch.float64), prepare_filter((1, 3, 3, 1)).double()
    torch.testing.assert_close(upsample_bilinear(x), slow_upfirdn(x, taps, 2, 1, (2, 1, 2, 1), 4))


def test_a_filter_on_a_device_keeps_its_reverse_until_it_changes() -> None:
    taps = torch.zeros(4, 4, device="meta")
    with torch.inference_mode():
        first = _flipped(taps)
    assert _flipped(taps) is first and not first.is_inference()
    taps.add_(1)
    assert _flipped(taps) is not first
    assert _flipped(torch.arange(4.0)).tolist() == [3, 2, 1, 0]


def test_a_constant_stays_a_constant() -> None:
    """Inside, where no zero of the border reaches; for the published filter and gains."""
    x, taps = torch.full((1, 1, 8, 8), 3.0), prepare_filter((1, 3, 3, 1))
    for y in (upsample(x, taps), downsample(x, taps), filter_same(x, taps)):
        torch.testing.assert_close(y[:, :, 2:-2, 2:-2], torch.full_like(y[:, :, 2:-2, 2:-2], 3.0))


def slow_filtered(
    x: Tensor, up_taps: Tensor, down_taps: Tensor, up: int, down: int, pads: tuple[int, int], gain: float,
    slope: float, clamp: float | None,
) -> Tensor:  # fmt: skip
    x = slow_upfirdn(x, up_taps, up, 1, pads * 2, up * up)
    x = F.leaky_relu(x, slope) * gain
    x = x if clamp is None else x.clamp(-clamp, clamp)
    return slow_upfirdn(x, down_taps, 1, down)


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("clamp", [None, 0.4])
@pytest.mark.parametrize(("up", "down"), [(2, 2), (4, 2), (4, 4), (1, 1), (8, 2)])
@pytest.mark.parametrize("size", [10, 13])
def test_filtered_leaky_relu(up: int, down: int, radial: bool, clamp: float | None, size: int) -> None:
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    up_taps = torch.randn(6 * up, dtype=torch.float64)
    down_taps = torch.randn((6 * down, 6 * down) if radial else (6 * down,), dtype=torch.float64)
    total = (size - 1) * down + 1 - 9 * up + 12 * up // 2 + 6 * down - 2
    for p0 in ((total + up) // 2, (total + up) // 2 + 3):
        found = filtered_leaky_relu(
            x, up_taps, down_taps, up=up, down=down, padding=p0, size=size, gain=1.3, slope=0.2, clamp=clamp
        )
        expected = slow_filtered(x, up_taps, down_taps, up, down, (p0, total - p0), 1.3, 0.2, clamp)
        assert found.shape == (2, 3, size, size)
        torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("_both_ways")
def test_resampling_is_differentiable_twice() -> None:
    x = torch.randn(1, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    taps = torch.randn(4, 4, dtype=torch.float64)
    row = torch.randn(12, dtype=torch.float64)
    functions: list[Any] = [
        lambda x: upsample(x, taps),
        lambda x: downsample(x, taps),
        upsample_bilinear,
        lambda x: upfirdn(x, taps[:2, :3], padding=(4, 4, 3, 3)),
        lambda x: upfirdn(x, taps, down=3, padding=(5, 5, 5, 5)),
        lambda x: filtered_leaky_relu(
            x, row, row, up=2, down=2, padding=12, size=5, gain=1.4, slope=0.2, clamp=5.0
        ),
    ]  # fmt: skip
    for function in functions:
        assert gradcheck(function, (x,))
        assert gradgradcheck(function, (x,))


def slow_conv(x: Tensor, weight: Tensor, taps: Tensor, up: int, down: int) -> Tensor:
    """The padding all in front, at the raised rate, as section 1.6 of the facts has it."""
    kernel = weight.shape[2]
    base = kernel // 2
    if up == 2:
        x = slow_upfirdn(x, taps, 2, 1, (base + 2, base + 1) * 2, 4)
        return F.conv2d(x, weight.flip(2, 3))
    if down == 2:
        return F.conv2d(slow_upfirdn(x, taps, 1, 1, (base + 1, base + 1) * 2), weight, stride=2)
    return F.conv2d(x, weight, padding=base)


@pytest.mark.usefixtures("_both_ways")
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2)])
def test_convolutions_with_resampling(kernel: int, up: int, down: int) -> None:
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    weight = torch.randn(5, 3, kernel, kernel, dtype=torch.float64)
    taps = prepare_filter((1, 3, 3, 1)).double()
    found = resampled_conv2d(x, weight, taps, up, down)
    assert found.shape == (2, 5, 8 * up // down, 8 * up // down)
    torch.testing.assert_close(found, slow_conv(x, weight, taps, up, down))


def kernels(weight: Tensor, styles: Tensor, demodulate: bool = True) -> Tensor:
    """A kernel for each picture, (N, O, I, k, k)."""
    made = weight[None] * styles[:, None, :, None, None]
    if demodulate:
        made = made * (made.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    return made


def test_demodulated_kernels_have_unit_norm() -> None:
    weight, styles = torch.randn(5, 3, 3, 3), torch.randn(2, 3)
    made = weight * styles[:, None, :, None, None] * demodulation(weight, styles)[:, :, None, None, None]
    torch.testing.assert_close(made.square().sum((2, 3, 4)), torch.ones(2, 5))


LAYOUTS = (torch.contiguous_format, torch.channels_last)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("inputs", [3, 16])
@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("random", [False, True])
def test_stylegan2_layer(up: int, random: bool, inputs: int, layout: torch.memory_format) -> None:
    layer = stylegan2.StyledConv(StyleGAN2GeneratorSettings(w_dim=6, conv_clamp=1.0), inputs, 5, 8 * up, up).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x, w = torch.randn(2, inputs, 8, 8).double().to(memory_format=layout), torch.randn(2, 6).double()
    made = kernels(layer.weight, w @ layer.affine.weight.t() / math.sqrt(6) + layer.affine.bias)
    y = torch.cat([slow_conv(x[i : i + 1], made[i], layer.resample_filter, up, 1) for i in range(2)])
    noise = layer.noise_const
    if random:
        noise = torch.randn(2, 1, 8 * up, 8 * up, generator=torch.Generator().manual_seed(3)).double()
    y = F.leaky_relu(y + noise * layer.noise_strength + layer.bias[:, None, None], 0.2) * math.sqrt(2) * 0.7
    found = layer(x, w, torch.Generator().manual_seed(3) if random else None, gain=0.7)
    torch.testing.assert_close(found, y.clamp(-0.7, 0.7))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_to_rgb(layout: torch.memory_format) -> None:
    layer = stylegan2.ToRGB(StyleGAN2GeneratorSettings(w_dim=6, conv_clamp=1.0), 5, 3).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x, w = torch.randn(2, 5, 8, 4).double().to(memory_format=layout), torch.randn(2, 6).double()
    styles = (w @ layer.affine.weight.t() / math.sqrt(6) + layer.affine.bias) / math.sqrt(5)
    made = kernels(layer.weight, styles, demodulate=False)
    y = torch.cat([F.conv2d(x[i : i + 1], made[i]) for i in range(2)]) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, w), y.clamp(-1, 1))


ENTRIES = {  # up 2, down 2; up 4, down 2; and the crop before a picture
    "same": (stylegan3.Entry(4, 3, 16, 36, 3), stylegan3.Entry(5, 3, 16, 36, 5)),
    "double": (stylegan3.Entry(4, 3, 16, 36, 3), stylegan3.Entry(8, 6, 32, 52, 5)),
    "crop": (stylegan3.Entry(8, 3, 32, 52, 3), stylegan3.Entry(8, 3, 32, 32, 5)),
}


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("case", ENTRIES)
def test_stylegan3_layer(case: str, kernel: int) -> None:
    before, after = ENTRIES[case]
    settings = StyleGAN3GeneratorSettings(w_dim=6, conv_kernel=kernel, use_radial_filters=kernel == 1, conv_clamp=1.0)
    layer = stylegan3.Layer(settings, before, after, critical=False, torgb=False).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    layer.magnitude_ema.fill_(2.0)
    x, w = torch.randn(2, 3, before.size, before.size).double(), torch.randn(2, 6).double()
    styles = w @ layer.affine.weight.t() / math.sqrt(6) + layer.affine.bias
    weight = layer.weight / layer.weight.square().mean((1, 2, 3), keepdim=True).sqrt()
    made = kernels(weight, styles / styles.square().mean().sqrt()) / math.sqrt(2.0)
    y = torch.cat([F.conv2d(x[i : i + 1], made[i], padding=kernel - 1) for i in range(2)])
    y = y + layer.bias[:, None, None]
    up, down = (4 if case == "double" else 2), 2
    total = (after.size - 1) * down + 1 - y.shape[2] * up + 6 * up + 6 * down - 2
    pads = ((total + up) // 2, total - (total + up) // 2)
    assert layer.up_filter is not None and layer.down_filter is not None
    y = slow_filtered(y, layer.up_filter, layer.down_filter, up, down, pads, math.sqrt(2), 0.2, 1.0)
    torch.testing.assert_close(layer(x, w), y)


def test_plain_layers() -> None:
    layer = Linear(4, 3, activation="lrelu", lr_multiplier=0.01, bias_init=2.0).double()
    x = torch.randn(5, 4).double()
    expected = F.leaky_relu(x @ layer.weight.t() * 0.01 / 2 + 2.0, 0.2) * math.sqrt(2)
    torch.testing.assert_close(layer(x), expected)
    assert 60 < float(layer.weight.detach().std()) < 160, "stored 1 / 0.01 times as large"

    conv = Conv2d(3, 5, 3, activation="lrelu", clamp=0.5).double()
    nn.init.normal_(conv.bias)
    maps = torch.randn(2, 3, 8, 8).double()
    y = F.conv2d(maps, conv.weight / math.sqrt(27), padding=1) + conv.bias[:, None, None]
    expected = (F.leaky_relu(y, 0.2) * math.sqrt(2) * 0.7).clamp(-0.35, 0.35)
    torch.testing.assert_close(conv(maps, 0.7), expected)


@pytest.mark.parametrize(("count", "group", "size"), [(8, 4, 4), (6, 4, 3), (4, None, 4), (3, 8, 3), (5, 4, 1)])
def test_minibatch_stddev(count: int, group: int | None, size: int) -> None:
    x = torch.randn(count, 6, 4, 4)
    found = discriminators.minibatch_stddev(x, group, 2)
    assert found.shape == (count, 2, 4, 4)
    groups = count // size
    for i in range(count):
        members = [j for j in range(count) if j % groups == i % groups]
        assert len(members) == size
        for f in range(2):
            part = x[members, 3 * f : 3 * f + 3]
            value = ((part - part.mean(0)).square().mean(0) + 1e-8).sqrt().mean()
            torch.testing.assert_close(found[i, f], value.expand(4, 4))


def tiny2(**settings: Any) -> StyleGAN2Generator:
    made = StyleGAN2GeneratorSettings(w_dim=16, num_layers=2, channel_base=64, channel_max=8, **settings)
    return StyleGAN2Generator(made, latent_size=8, attribute_size=0, image_size=16, channels=3)


def tiny3(**settings: Any) -> StyleGAN3Generator:
    made = StyleGAN3GeneratorSettings(w_dim=16, channel_base=64, channel_max=8, num_layers=4, **settings)
    return StyleGAN3Generator(made, latent_size=8, attribute_size=0, image_size=16, channels=3)


@pytest.mark.parametrize("build", [tiny2, tiny3])
def test_the_average_of_w(build: Any) -> None:
    network = build(w_avg_beta=0.75)
    expected = torch.zeros(16)
    for step in range(3):
        latents = torch.randn(5, 8)
        network(latents, update_emas=True)
        expected = 0.75 * expected + 0.25 * network.mapping(latents, None).mean(0)
        torch.testing.assert_close(network.mapping.w_avg, expected, msg=f"{step}")
    before = network.mapping.w_avg.clone()
    network(torch.randn(5, 8))
    assert torch.equal(network.mapping.w_avg, before), "only where the averages are to move"


@pytest.mark.parametrize("build", [tiny2, tiny3])
def test_truncation(build: Any) -> None:
    network = build()
    network(torch.randn(64, 8), update_emas=True)
    latents = torch.randn(3, 8)
    same = network(latents, truncation=0.0)
    assert torch.equal(same[0], same[1])
    full, half = (network.styles(latents, truncation=t) for t in (1.0, 0.5))
    torch.testing.assert_close(half, network.mapping.w_avg + 0.5 * (full - network.mapping.w_avg))
    part = network.styles(latents, truncation=0.5, cutoff=2)
    torch.testing.assert_close(part, torch.cat([half[:, :2], full[:, 2:]], 1))
    assert not torch.equal(network(latents), network(latents, truncation=0.5))


def test_the_magnitudes_move_before_they_are_used() -> None:
    network = tiny3(magnitude_ema_beta=0.75).train()
    first = network.synthesis.get_submodule(network.synthesis.layer_names[0])
    w = network.styles(torch.randn(4, 8))
    maps = network.synthesis.input(w[:, 0])
    network.synthesis(w, update_emas=True)
    torch.testing.assert_close(first.magnitude_ema, 0.75 + 0.25 * maps.square().mean().detach())
    assert first.magnitude_ema != 1
    torch.testing.assert_close(network.synthesis(w), network.synthesis(w), rtol=0, atol=0)


def test_noise() -> None:
    network = tiny2()
    latents = torch.randn(2, 8)
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            nn.init.constant_(parameter, 0.5)

    def drawn(seed: int) -> Tensor:
        return network(latents, random=torch.Generator().manual_seed(seed))

    assert torch.equal(network(latents), network(latents))
    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))
    assert not any("noise" in name for name in tiny2(use_noise=False).state_dict())


def test_fourier_features_move_the_picture() -> None:
    """A shift of a whole pixel of the input's grid is a shift of the features by a pixel."""
    entry = stylegan3.Entry(2, 6, 16, 36, 8)
    layer = stylegan3.FourierInput(4, entry)
    w = torch.zeros(1, 4)
    still = layer(w)
    layer.transform[:2, 2] = torch.tensor([-1 / 16, -2 / 16])  # the inverse of a shift by (1, 2) pixels
    torch.testing.assert_close(layer(w)[:, :, 2:, 1:], still[:, :, :-2, :-1], rtol=1e-4, atol=1e-4)
    assert float(layer.freqs.norm(dim=1).max()) <= 2.0


def test_frozen_layers_are_buffers_of_the_same_names() -> None:
    def build(layers: int) -> nn.Module:
        made = StyleGAN2DiscriminatorSettings(channel_base=64, channel_max=8, freeze_layers=layers)
        return discriminators.StyleGAN2Discriminator(made, attribute_sizes=(), image_size=16, channels=3)

    free, frozen = build(0), build(5)
    assert free.state_dict().keys() == frozen.state_dict().keys()
    missing = {n for n, _ in free.named_parameters()} - {n for n, _ in frozen.named_parameters()}
    layers = ("fromrgb", "conv0", "conv1", "skip")
    assert {name.rsplit(".", 1)[0] for name in missing} == {*(f"b16.{name}" for name in layers), "b8.conv0"}
