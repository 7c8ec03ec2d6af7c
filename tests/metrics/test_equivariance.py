"""Equivariance: StyleGAN3 moves as it is asked to, other pictures do not, and the reference motions are right."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.metrics.equivariance import (
    _decibels,
    _errors,
    band_limit,
    equivariance,
    pseudo_rotate,
    rotate,
    translate,
)
from kaogan.networks.stylegan import StyleGAN3Generator, StyleGAN3GeneratorSettings


def generator(radial: bool) -> StyleGAN3Generator:
    torch.manual_seed(0)
    extra = {"conv_kernel": 1, "use_radial_filters": True} if radial else {}
    settings = StyleGAN3GeneratorSettings(w_dim=16, channel_base=512, channel_max=16, num_layers=6, **extra)  # type: ignore[arg-type]
    network = StyleGAN3Generator(settings, latent_size=8, attribute_size=0, image_size=64, channels=3).eval()
    for _ in range(12):  # the magnitudes settle, so that the pictures have a usual range
        for buffer in network.synthesis.modules():
            if hasattr(buffer, "beta"):
                buffer.beta = 0.5
        with torch.no_grad():
            network(torch.randn(8, 8), update_emas=True)
    return network


def waves(count: int = 2, size: int = 64, low: float = 3.0) -> Tensor:
    """Smooth pictures that go on beyond their borders, as functions of the place."""
    return function(count, size, low, torch.eye(3))


def function(count: int, size: int, low: float, inverse: Tensor) -> Tensor:
    where = (torch.arange(size) + 0.5) / size - 0.5
    y, x = torch.meshgrid(where, where, indexing="ij")
    x, y = (inverse[i, 0] * x + inverse[i, 1] * y + inverse[i, 2] for i in range(2))
    drawn = torch.rand(count, 3, 3, generator=torch.Generator().manual_seed(1))
    start, across, down = (part[..., None, None] for part in drawn.unbind(2))
    return (2 * math.pi * (6 * start + 2 * low * ((across - 0.5) * x + down * y))).sin()


def test_t_is_equivariant_to_translation_and_r_to_rotation() -> None:
    t = equivariance(generator(False), 8, latent_size=8)
    r = equivariance(generator(True), 8, latent_size=8)
    assert t.eqt >= 60 and r.eqt >= 60
    assert r.eqr > t.eqr + 10 and r.eqr > 30
    assert t.eqt_frac > 30


def test_what_ignores_the_transform_scores_low() -> None:
    network = generator(False)

    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.num_ws = network.num_ws
            self.input = nn.Module()
            self.input.register_buffer("transform", torch.eye(3))

        def forward(self, styles: Tensor, random: torch.Generator | None = None, update_emas: bool = False) -> Tensor:
            return waves(len(styles))

    network.synthesis = Deaf()  # type: ignore[assignment]
    found = equivariance(network, 8, latent_size=8)
    assert max(found) < 20
    assert torch.equal(network.synthesis.input.transform, torch.eye(3))  # type: ignore[union-attr]


@pytest.mark.parametrize(("x", "y"), [(3, -2), (-5, 0), (0, 0)])
def test_whole_pixels(x: int, y: int) -> None:
    images = torch.rand(1, 1, 16, 16)
    moved, mask = translate(images, x, y)
    assert mask.sum() == (16 - abs(x)) * (16 - abs(y))
    for row in range(16):
        for column in range(16):
            inside = 0 <= row - y < 16 and 0 <= column - x < 16
            assert mask[0, 0, row, column] == inside
            if inside:
                assert moved[0, 0, row, column] == images[0, 0, row - y, column - x]


@pytest.mark.parametrize(("x", "y"), [(3.4, -2.75), (-0.5, 6.1), (2.0, 0.0)])
def test_fractions_of_pixels(x: float, y: float) -> None:
    moved, mask = translate(waves(), x, y, lanczos=True)
    inverse = torch.tensor([[1, 0, -x / 64], [0, 1, -y / 64], [0, 0, 1]])
    error = (moved - function(2, 64, 3.0, inverse)).abs() * mask
    assert mask.mean() > 0.7 and error.max() < 0.02
    assert ((waves() - function(2, 64, 3.0, inverse)).abs() * mask).max() > 0.2


@pytest.mark.parametrize("angle", [0.3, -1.2, 2.5])
def test_rotation(angle: float) -> None:
    """The picture rotated as a function, against the picture resampled: they are equal within the mask."""
    cos, sin = math.cos(angle), math.sin(angle)
    inverse = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    expected = function(2, 64, 3.0, inverse)
    found, mask = rotate(waves(), angle)
    same, kept = pseudo_rotate(expected, angle)
    mask = mask * kept
    assert 0.2 < float(mask.mean()) < 0.9
    assert ((found - expected).abs() * mask).max() < 0.02 and ((same - expected).abs() * mask).max() < 0.02
    assert ((waves() - expected).abs() * mask).max() > 0.2


def test_the_band_limit_of_no_rotation_is_the_picture() -> None:
    taps = band_limit(0.0, 1)
    assert taps.shape == (11, 11) and float(taps.sum()) == pytest.approx(1)
    assert float(taps[5, 5]) == pytest.approx(1, abs=1e-3)
    wide = band_limit(0.7, 4)
    assert wide.shape == (47, 47)
    parts = [float(wide[i::4, j::4].sum()) for i in range(4) for j in range(4)]
    assert parts == pytest.approx([1 / 16] * 16)
    torch.testing.assert_close(wide, wide.flip(0, 1), rtol=0, atol=1e-6)


def test_decibels() -> None:
    x = torch.zeros(1, 3, 4, 4)
    assert _decibels(_errors(x, x + 0.002, torch.ones_like(x))) == pytest.approx(60)
    half = F.pad(torch.ones(1, 3, 4, 2), (0, 2))
    assert _decibels(_errors(x, x + 0.002 * half + 9 * (1 - half), half)) == pytest.approx(60, abs=1e-3)
    assert math.isinf(_decibels(_errors(x, x, torch.ones_like(x))))


def test_on_a_card_it_is_measured_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[torch.device] = []

    @contextlib.contextmanager
    def exact(device: torch.device) -> Iterator[None]:
        inside.append(device)
        yield
        inside.clear()

    network = generator(radial=False)
    drawn = network.synthesis.forward
    monkeypatch.setattr("kaogan.metrics.equivariance.exact", exact)
    monkeypatch.setattr(network.synthesis, "forward", lambda *all_: drawn(*all_) if inside else pytest.fail("outside"))
    equivariance(network, 1, latent_size=8)
