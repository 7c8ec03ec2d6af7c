"""The fixed filters at the end of DCGAN's generator."""

import math

import pytest
import torch
from torch import nn

from kaogan.networks import build_generator
from kaogan.networks.dcgan import OUTPUT_FILTERS, DCGANGeneratorSettings, binomial, sharp, smooth_chroma
from kaogan.networks.growing import GrowingGeneratorSettings


def test_the_binomial_filter():
    """Against the definition; what alternates from pixel to pixel is gone, what is even stays."""
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    padded = nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    taps = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64) / 4
    expected = sum(
        taps[i] * taps[j] * padded[:, :, i : i + 8, j : j + 8] for i in range(3) for j in range(3)
    )  # fmt: skip
    torch.testing.assert_close(binomial(x), expected)
    board = (-1.0) ** (torch.arange(8)[:, None] + torch.arange(8))
    assert binomial(board[None, None])[..., 1:-1, 1:-1].abs().max() == 0
    assert torch.equal(binomial(torch.ones(1, 1, 8, 8)), torch.ones(1, 1, 8, 8))


@pytest.mark.parametrize("name", ["binomial", "sharp"])
def test_a_filtered_generator_is_the_plain_one_filtered(name):
    size = {"latent_size": 4, "attribute_size": 0, "image_size": 16, "channels": 3}
    plain = build_generator(DCGANGeneratorSettings(width=4), **size).eval()
    filtered = build_generator(DCGANGeneratorSettings(width=4, output_filter=name), **size).eval()
    filtered.load_state_dict(plain.state_dict())
    latents = torch.randn(2, 4)
    with torch.no_grad():
        torch.testing.assert_close(
            filtered(latents), torch.tanh(OUTPUT_FILTERS[name](torch.atanh(plain(latents)))), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("cycles", [0, 1, 4, 8, 12, 16])
def test_the_sharp_filters_response(cycles):
    """A cosine of w = 2 pi cycles / 32 along one side is scaled by 1 - sin(w/2)^4; what alternates is gone."""
    w = 2 * math.pi * cycles / 32
    wave = torch.cos(w * torch.arange(64, dtype=torch.float64))
    for x in (wave.expand(2, 3, 64, 64), wave[:, None].expand(2, 3, 64, 64)):
        found = sharp(x)[..., 4:-4, 4:-4]
        expected = (1 - math.sin(w / 2) ** 4) * x[..., 4:-4, 4:-4]
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_the_sharp_filter_keeps_more_than_the_binomial_and_even_borders():
    torch.testing.assert_close(sharp(torch.ones(1, 3, 8, 8)), torch.ones(1, 3, 8, 8))
    wave = torch.cos(2 * math.pi / 8 * torch.arange(32.0)).expand(1, 1, 32, 32)
    assert sharp(wave).std() > binomial(wave).std() * 1.1


def test_a_sampling_filter_is_for_sampled_pictures_alone():
    size = {"latent_size": 4, "attribute_size": 0, "image_size": 16, "channels": 3}
    torch.manual_seed(0)
    generator = build_generator(DCGANGeneratorSettings(width=4, sampling_filter="sharp", norm="none"), **size)
    latents = torch.randn(2, 4)
    shown = generator(latents)
    sampled = generator.eval()(latents)
    torch.testing.assert_close(sampled.atanh(), sharp(shown.atanh()), rtol=1e-4, atol=1e-5)
    generator.sampling_filter = "none"
    assert torch.equal(generator(latents), shown)


def test_the_chroma_filter_keeps_brightness_and_even_colour():
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64) - 0.5
    torch.testing.assert_close(smooth_chroma(x).mean(1), x.mean(1))
    grey = 2 * x[:, :1].expand(2, 3, 16, 16)
    torch.testing.assert_close(smooth_chroma(grey), grey)
    even = torch.tensor([0.9, -0.3, 0.1], dtype=torch.float64)[:, None, None].expand(1, 3, 16, 16)
    torch.testing.assert_close(smooth_chroma(even), even)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (1, 3, 5, 12), (2, 1, 8, 8)])
def test_the_chroma_filter_is_four_binomials_up_to_the_edges(shape):
    x = torch.rand(shape) - 0.5
    chroma = x - x.mean(1, keepdim=True)
    for _ in range(4):
        chroma = binomial(chroma)
    for images in (x, x.contiguous(memory_format=torch.channels_last)):
        with torch.autocast("cpu", torch.bfloat16):
            found = smooth_chroma(images)
        torch.testing.assert_close(found, x.mean(1, keepdim=True) + chroma, atol=1e-6, rtol=0)
        assert found.stride() == images.stride()


def test_the_chroma_filter_stays_within_an_images_range():
    """A white dot in blue: the blue that flows into it would be above 1."""
    x = torch.tensor([-1.0, -1.0, 1.0])[:, None, None].repeat(1, 9, 9)[None]
    x[..., 4, 4] = 1
    assert smooth_chroma(x).abs().max() == 1


@pytest.mark.parametrize("cycles", [0, 4, 8, 12, 16])
def test_the_chroma_filters_response(cycles):
    """A cosine of w = 2 pi cycles / 32 in the colours alone is scaled by cos(w/2)^8."""
    w = 2 * math.pi * cycles / 32
    wave = torch.cos(w * torch.arange(64, dtype=torch.float64)).expand(64, 64) / 2
    for plane in (wave, wave.T):
        x = torch.stack([plane, -2 * plane, plane])[None]
        found, expected = smooth_chroma(x)[..., 8:-8, 8:-8], math.cos(w / 2) ** 8 * x[..., 8:-8, 8:-8]
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("settings", "more"), [(DCGANGeneratorSettings, {}), (GrowingGeneratorSettings, {"base_size": 16})]
)
@pytest.mark.parametrize("training", [True, False])
def test_a_generator_with_a_chroma_filter_is_the_plain_one_filtered(settings, more, training):
    size = {"latent_size": 4, "attribute_size": 0, "image_size": 32, "channels": 3}
    plain = build_generator(settings(width=4, **more), **size).train(training)
    filtered = build_generator(settings(width=4, chroma_filter="binomial", **more), **size).train(training)
    for weights in plain.parameters():
        nn.init.normal_(weights, std=0.2)
    filtered.load_state_dict(plain.state_dict())
    latents = torch.randn(8, 4)
    with torch.no_grad():
        torch.testing.assert_close(filtered(latents), smooth_chroma(plain(latents)))
