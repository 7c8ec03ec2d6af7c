"""Layers against slow, obvious references."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kaogan.networks.keras_wgan import KerasWGANGenerator, KerasWGANGeneratorSettings, SameConv, SameConvTranspose
from kaogan.networks.layers import (
    BatchNorm2d,
    LayerNorm,
    ModulatedBatchNorm2d,
    ResidualBlock,
    SelfAttention,
    initialise,
    initialise_modulation,
    norm_layers,
    normalise_spectra,
)


def test_same_convolution_pads_one_before_and_two_after():
    layer = SameConv(2, 3, 2).double()
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    padded = torch.zeros(2, 2, 9, 9, dtype=torch.float64)
    padded[:, :, 1:7, 1:7] = x
    expected = torch.zeros(2, 3, 3, 3, dtype=torch.float64)
    for row in range(3):
        for column in range(3):
            window = padded[:, :, 2 * row : 2 * row + 5, 2 * column : 2 * column + 5]
            expected[:, :, row, column] = torch.einsum("nchw,ochw->no", window, layer.weight) + layer.bias
    torch.testing.assert_close(layer(x), expected)


def test_same_transposed_convolution_crops_one_before_and_two_after():
    layer = SameConvTranspose(2, 3, 2).double()
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64)
    full = torch.zeros(2, 3, 11, 11, dtype=torch.float64)
    for row in range(4):
        for column in range(4):
            stamp = torch.einsum("nc,cohw->nohw", x[:, :, row, column], layer.weight)
            full[:, :, 2 * row : 2 * row + 5, 2 * column : 2 * column + 5] += stamp
    expected = full[:, :, 1:9, 1:9] + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_same_transposed_is_the_adjoint_of_same(stride):
    """TensorFlow defines the one as the gradient of the other: <conv(x), y> = <x, transposed(y)>."""
    down, up = SameConv(2, 3, stride).double(), SameConvTranspose(3, 2, stride).double()
    up.weight = down.weight
    nn.init.zeros_(down.bias)
    nn.init.zeros_(up.bias)
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    y = torch.randn(1, 3, 8 // stride, 8 // stride, dtype=torch.float64)
    torch.testing.assert_close((down(x) * y).sum(), (x * up(y)).sum())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_modulated_norm_scales_and_shifts_each_picture_by_its_own_style(dtype, training):
    layer, plain = ModulatedBatchNorm2d(3, 4, 1e-5), BatchNorm2d(3)
    initialise_modulation(None, layer)
    for norm in (layer.norm, plain):
        norm.running_mean.copy_(torch.tensor([0.5, -1.0, 2.0]))
        norm.running_var.copy_(torch.tensor([0.1, 1.0, 9.0]))
    layer.train(training)
    plain.train(training)
    near = {"rtol": 0.03, "atol": 0.05} if dtype == torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-5}
    x = torch.randn(5, 3, 6, 6, dtype=dtype).to(memory_format=torch.channels_last)
    styles, normalised = torch.randn(5, 4), plain(x)
    torch.testing.assert_close(layer(x, styles), normalised, **near)
    nn.init.normal_(layer.scale_shift.weight)
    found = layer(x, styles)
    assert found.dtype == dtype and found.is_contiguous(memory_format=torch.channels_last)
    for n in range(5):
        scale, shift = (layer.scale_shift.weight @ styles[n]).chunk(2)
        expected = normalised[n].float() * (1 + scale)[:, None, None] + shift[:, None, None]
        torch.testing.assert_close(found[n].float(), expected, **near)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_self_attention_position_by_position(layout):
    layer = SelfAttention(16).double()
    nn.init.constant_(layer.gamma, 0.7)
    x = torch.randn(2, 16, 3, 4, dtype=torch.float64).to(memory_format=layout)
    positions = x.flatten(2)

    def project(conv: nn.Conv2d, column: torch.Tensor) -> torch.Tensor:
        return conv.weight[:, :, 0, 0] @ column + conv.bias

    expected = torch.empty_like(positions)
    for n in range(2):
        columns = [positions[n, :, i] for i in range(12)]
        for i, here in enumerate(columns):
            query = project(layer.query, here)
            weights = torch.stack([query @ project(layer.key, there) for there in columns]).exp()
            values = torch.stack([project(layer.value, there) for there in columns])
            expected[n, :, i] = here + 0.7 * (weights[:, None] * values).sum(0) / weights.sum()
    torch.testing.assert_close(layer(x), expected.unflatten(2, (3, 4)), check_stride=False)


def test_self_attention_begins_as_the_identity():
    x = torch.randn(2, 16, 4, 4)
    torch.testing.assert_close(SelfAttention(16)(x), x)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("kind", "reference"),
    [
        ("layer", nn.LayerNorm([5, 4, 4])),
        ("instance", nn.InstanceNorm2d(5, affine=True)),
        ("batch", nn.BatchNorm2d(5)),
    ],
)
def test_norms(kind, reference, layout):
    (layer,) = norm_layers(kind, 5, 4, 1e-5)
    for mine, theirs in zip(layer.parameters(), reference.parameters(), strict=True):
        assert mine.shape == theirs.shape
        nn.init.normal_(mine)
        theirs.data.copy_(mine.data)
    x = torch.randn(3, 5, 4, 4).to(memory_format=layout)
    y = layer(x)
    torch.testing.assert_close(y, reference(x.contiguous()), check_stride=False)
    assert y.is_contiguous(memory_format=layout)


def test_no_norm():
    assert norm_layers("none", 5, 4, 1e-5) == []


def test_layer_norm_has_the_parameters_of_torch():
    assert LayerNorm(5, 4, 1e-5).state_dict().keys() == nn.LayerNorm([5, 4, 4]).state_dict().keys()


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("after", [4, 6])
def test_residual_block(after, closing):
    block = ResidualBlock(4, after, 5, norm="none", eps=1e-5, slope=0.2, closing=closing)
    x = torch.randn(2, 4, 5, 5)
    kept = x.clone()
    first, second = block.body[0], block.body[-1]
    skip = x if after == 4 else F.conv2d(x, block.skip.weight, block.skip.bias)
    expected = skip + second(F.leaky_relu(first(x), 0.2))
    torch.testing.assert_close(block(x), F.leaky_relu(expected, 0.2) if closing else expected)
    assert torch.equal(x, kept)


def test_initialise():
    torch.manual_seed(0)
    part = nn.Sequential(nn.Conv2d(64, 64, 3), nn.BatchNorm2d(4096), nn.Linear(100, 100))
    untouched = part[0].bias.clone()
    initialise(part, "dcgan")
    assert part[0].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert torch.equal(part[0].bias, untouched)
    assert part[1].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert part[1].weight.mean().item() == pytest.approx(1, abs=0.002)
    assert part[2].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not part[2].bias.any()
    initialise(part, "glorot")
    assert part[2].weight.abs().max().item() == pytest.approx((6 / 200) ** 0.5, rel=0.01)
    assert not part[0].bias.any()


def test_spectral_norm_spares_attention():
    torch.manual_seed(0)
    part = nn.Sequential(nn.Conv2d(8, 8, 4), SelfAttention(8), nn.Sequential(nn.ConvTranspose2d(8, 4, 4)))
    normalise_spectra(part)
    for _ in range(50):
        weights = part[0].weight, part[2][0].weight
    down, up = weights[0].flatten(1), weights[1].transpose(0, 1).flatten(1)
    assert torch.linalg.matrix_norm(down, 2).item() == pytest.approx(1, abs=1e-3)
    assert torch.linalg.matrix_norm(up, 2).item() == pytest.approx(1, abs=1e-3)
    assert "query.weight" in part[1].state_dict()


def test_keras_wgan_output_is_the_sources_sigmoid():
    sizes = {"latent_size": 4, "attribute_size": 0, "image_size": 16, "channels": 3}
    network = KerasWGANGenerator(KerasWGANGeneratorSettings(width=4), **sizes).eval()
    latents = torch.randn(2, 4)
    with torch.no_grad():
        raw = network.body(network.linear(latents).unflatten(1, network.shape))
        torch.testing.assert_close(network(latents), 2 * raw.sigmoid() - 1)
