"""Augmentations: exact where they can be, undone where they can be, and always differentiable."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.losses.augment import Ada, blur, color, diff_augment, filtering, geometry, noise_cutout
from kaogan.losses.augment.ada import GROUPS


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 3, channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(count, channels, size, size, generator=random(9)) * 2 - 1


def smooth(count: int = 2, size: int = 32) -> Tensor:
    """Pictures of low frequencies, so that interpolation loses nothing."""
    drawn = torch.randn(count, 3, 4, 4, generator=random(4))
    return F.interpolate(drawn, size, mode="bicubic", align_corners=True)


def one(value: float) -> Tensor:
    return torch.tensor([value])


def test_the_identity_and_whole_pixels_are_exact() -> None:
    """The filters are an orthogonal wavelet: raising the rate and lowering it again changes nothing."""
    x = pictures()
    torch.testing.assert_close(geometry._warp(x, torch.eye(3).repeat(3, 1, 1)), x, rtol=0, atol=1e-5)
    moved = geometry.apply(x, geometry.shift(one(-3.0), one(-2.0)).repeat(3, 1, 1))
    expected = F.pad(x, (3, 0, 2, 0), "reflect")[:, :, :16, :16]
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("inverse", "expected"),
    [
        (geometry.scaling(one(-1.0), one(1.0)), lambda x: x.flip(3)),
        (geometry.rotation(one(math.pi / 2)), lambda x: torch.rot90(x, 1, (2, 3))),
        (geometry.rotation(one(math.pi)), lambda x: torch.rot90(x, 2, (2, 3))),
    ],
)
def test_flips_and_turns(inverse: Tensor, expected: Callable[[Tensor], Tensor]) -> None:
    """Exact but for the wavelet, whose centre is a twentieth of a pixel off; half a pixel would show as 0.2."""
    x = smooth()
    moved = geometry.apply(x, inverse.repeat(2, 1, 1))
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    assert (moved - expected(x))[inner].abs().max() < 0.08
    assert (moved - x)[inner].abs().max() > 0.5


def test_what_does_not_fire_is_left_alone() -> None:
    x = pictures()
    inverse = torch.eye(3).repeat(3, 1, 1)
    assert geometry.apply(x, inverse) is x
    inverse[1] = geometry.shift(one(2.0), one(0.0))[0]
    moved = geometry.apply(x, inverse)
    assert torch.equal(moved[0], x[0]) and torch.equal(moved[2], x[2])
    torch.testing.assert_close(moved[1, :, :, :-2], x[1, :, :, 2:], rtol=0, atol=1e-5)


def test_few_shapes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device every picture is moved, within margins of four sizes, and those that stay are put back."""
    x = pictures(6, size=20)
    shapes = set()
    pad = F.pad

    def noted(y: Tensor, edges: tuple[int, ...], *how: object) -> Tensor:
        shapes.add(edges)
        return pad(y, edges, *how)  # type: ignore[arg-type]

    for seed, p in enumerate((0.05, 0.3, 0.3, 0.9, 0.9)):
        inverse = geometry.draw(6, (20, 20), p, random(seed))
        monkeypatch.setattr(geometry, "_few_shapes", lambda images: False)
        expected = geometry.apply(x, inverse)
        monkeypatch.setattr(geometry, "_few_shapes", lambda images: True)
        monkeypatch.setattr(F, "pad", noted)
        found = geometry.apply(x, inverse)
        monkeypatch.setattr(F, "pad", pad)
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)
        still = (inverse == torch.eye(3)).flatten(1).all(1)
        assert torch.equal(found[still], x[still])
    assert {edges for edges in shapes if len(set(edges)) == 1} <= {(n,) * 4 for n in (0, 5, 10, 15, 19)}


def test_the_transform_undone_is_the_picture() -> None:
    x = smooth()
    there = geometry.rotation(one(0.4)) @ geometry.scaling(one(1.1), one(0.95)) @ geometry.shift(one(1.3), one(-0.7))
    back = torch.linalg.inv(there)
    twice = geometry.apply(geometry.apply(x, there.repeat(2, 1, 1)), back.repeat(2, 1, 1))
    inner = (slice(None), slice(None), slice(10, -10), slice(10, -10))
    once = geometry.apply(x, there.repeat(2, 1, 1))
    assert (twice - x)[inner].abs().max() < 0.02
    assert (once - x)[inner].abs().max() > 0.2


def test_maps_are_composed_as_drawn() -> None:
    """Each item alone, with p = 1: the distribution's edges."""
    blits = geometry.draw(500, (16, 32), 1.0, random(), warp=False)
    assert set(blits[:, :2, :2].flatten().round().tolist()) == {-1.0, 0.0, 1.0}
    assert torch.equal(blits[:, :2, :2].det().abs().round(), torch.ones(500))
    warps = geometry.draw(2000, (16, 16), 1.0, random(), blit=False)
    scales = -torch.log2(warps[:, :2, :2].det()) / 2
    assert abs(float(scales.std()) - 0.2) < 0.02 and abs(float(scales.mean())) < 0.02


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_how_often_it_fires(p: float) -> None:
    fired = (geometry.draw(4000, (16, 16), p, random(), blit=False) != torch.eye(3)).flatten(1).any(1)
    # Four items with p each: the two rotations are one.
    assert abs(float(fired.float().mean()) - (1 - (1 - p) ** 4)) < 0.03
    gains = filtering.draw(4000, p, random())
    assert abs(float((gains != 1).any(1).float().mean()) - (1 - (1 - p) ** 4)) < 0.03


@pytest.mark.parametrize("name", GROUPS)
def test_every_group(name: str) -> None:
    x = pictures().requires_grad_()
    augment = Ada([name])
    assert augment(x, 0.0, random()) is x
    seen = augment(x, 1.0, random(1))
    assert seen.shape == x.shape and not torch.equal(seen, x) and seen.isfinite().all()
    assert torch.equal(seen, augment(x, 1.0, random(1))) and not torch.equal(seen, augment(x, 1.0, random(2)))
    seen.square().sum().backward()
    assert x.grad is not None and x.grad.isfinite().all() and x.grad.any()
    grey = Ada([name])(pictures(channels=1), 1.0, random(1))
    assert grey.shape == (3, 1, 16, 16)


@pytest.mark.parametrize("name", ["ada", "diffaugment"])
def test_second_derivatives(name: str) -> None:
    """Of a penalty on the slope through the augmentation, against a difference."""
    weight = torch.randn(3 * 8 * 8, generator=random(3)).double().requires_grad_()
    x = pictures(size=8).double().requires_grad_()
    augment = Ada(GROUPS)

    def penalty() -> Tensor:
        seen = augment(x, 1.0, random(1)) if name == "ada" else diff_augment(x, random(1))
        score = (seen.flatten(1).tanh() @ weight).sum()
        (slope,) = torch.autograd.grad(score, x, create_graph=True)
        return slope.square().sum()

    (gradient,) = torch.autograd.grad(penalty(), weight)
    direction = torch.randn(weight.shape, generator=random(5)).double()
    step = 1e-5
    with torch.no_grad():
        weight += step * direction
    above = float(penalty().detach())
    with torch.no_grad():
        weight -= 2 * step * direction
    measured = (above - float(penalty().detach())) / (2 * step)
    assert float(gradient @ direction) == pytest.approx(measured, rel=1e-4)


def test_colour_by_hand() -> None:
    """The matrix against the transformations one after another."""
    matrix = color.draw(1, 1.0, random(2))
    assert torch.equal(color.draw(1, 0.0, random(2)), torch.eye(4)[None])
    v = torch.full((3,), 1 / math.sqrt(3))
    x = torch.tensor([0.3, -0.2, 0.7])
    # Saturation, hue and luma flip leave lengths on the grey axis alone but for contrast, brightness and sign.
    grey = matrix[0, :3, :3] @ v + matrix[0, :3, 3]
    torch.testing.assert_close(grey, (grey @ v) * v, rtol=1e-4, atol=1e-5)
    seen = color.apply(x.view(1, 3, 1, 1).expand(1, 3, 4, 4), matrix)
    torch.testing.assert_close(seen[0, :, 0, 0], matrix[0, :3, :3] @ x + matrix[0, :3, 3])
    undone = torch.linalg.inv(matrix)
    torch.testing.assert_close(color.apply(seen, undone)[0, :, 1, 1], x, rtol=1e-3, atol=1e-4)
    turned = color._turn(torch.tensor([2 * math.pi / 3]))[0] @ torch.tensor([1.0, 0.0, 0.0])
    torch.testing.assert_close(turned.sort().values, torch.tensor([0.0, 0.0, 1.0]), rtol=0, atol=1e-6)


def test_grey_pictures_get_the_mean_of_the_colours() -> None:
    matrix = color.draw(2, 1.0, random(2), colourful=False)
    x = pictures(2, 1, 4)
    expected = x * matrix[:, :3, :3].sum(2).mean(1).view(2, 1, 1, 1) + matrix[:, :3, 3].mean(1).view(2, 1, 1, 1)
    torch.testing.assert_close(color.apply(x, matrix), expected)


def test_the_bands_add_up_to_the_picture() -> None:
    bank = filtering.filter_bank()
    assert bank.shape == (4, 43)
    single = torch.zeros(43)
    single[21] = 1
    torch.testing.assert_close(bank.sum(0), single, rtol=0, atol=1e-6)
    x = pictures(size=32)
    torch.testing.assert_close(filtering.apply(x, torch.ones(3, 4)), x, rtol=0, atol=1e-5)
    response = np.abs(np.fft.rfft(bank.numpy(), 256))
    assert np.all(np.diff([(row * np.arange(129)).sum() / row.sum() for row in response]) > 0), "low to high"
    small = pictures(size=8)
    torch.testing.assert_close(filtering.apply(small, torch.ones(3, 4)), small, rtol=0, atol=1e-5)


def test_gains_keep_the_power_of_natural_pictures() -> None:
    gains = filtering.draw(1, 1.0, random(7))
    power = torch.tensor([10.0, 1, 1, 1]) / 13
    lone = torch.ones(4)
    lone[2] = 3.0
    lone = lone / (power * lone.square()).sum().sqrt()
    assert float((power * lone.square()).sum()) == pytest.approx(1)
    assert gains.min() > 0 and gains.std() > 0


def test_cutout_and_noise() -> None:
    x = torch.ones(200, 2, 16, 16)
    cut = noise_cutout.cutout(x, 1.0, random())
    share = (cut == 0).float().mean((1, 2, 3))
    assert float(share.min()) > 0 and float(share.max()) <= 0.25 and float(share.max()) > 0.2
    assert torch.equal(cut[:, 0], cut[:, 1])
    noisy = noise_cutout.noise(x, 1.0, random()) - 1
    deviations = noisy.std((1, 2, 3))
    assert abs(float(deviations.mean()) - 0.1 * math.sqrt(2 / math.pi)) < 0.015


def test_diffaugment() -> None:
    x = pictures(64)
    for policy in ("color", "translation", "cutout"):
        assert not torch.equal(diff_augment(x, random(), [policy]), x)
    assert torch.equal(diff_augment(x, random(), []), x)
    mark = torch.zeros(300, 1, 16, 16)
    mark[:, :, 8, 8] = 1
    moved = diff_augment(mark, random(), ["translation"])
    where = moved.flatten(1).argmax(1)
    rows, columns = where // 16 - 8, where % 16 - 8
    assert moved.sum() == 300 and set(rows.tolist()) == set(columns.tolist()) == {-2, -1, 0, 1, 2}


def test_blur() -> None:
    x = torch.zeros(1, 1, 17, 17)
    x[0, 0, 8, 8] = 1
    assert blur(x, 0.3) is x and blur(x, 0.0) is x
    row = blur(x, 2.0)[0, 0, 8]
    assert float(row[10] / row[8]) == pytest.approx(0.5) and float(row[12] / row[8]) == pytest.approx(1 / 16)
    assert float(blur(x, 2.0).sum()) == pytest.approx(1)
