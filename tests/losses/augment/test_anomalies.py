"""Simulated anomalies: what is changed, where, how often, and that it can be repeated."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kaogan.losses.augment import anomalies
from kaogan.losses.augment.anomalies import Anomalies, simulate_anomalies


def pictures(count: int = 64, side: int = 64, channels: int = 3) -> Tensor:
    """Smooth random pictures, each unlike the next."""
    coarse = torch.rand(count, channels, 8, 8, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(-0.9, 0.9)


def simulate(images: Tensor, seed: int = 0) -> Anomalies:
    return simulate_anomalies(images, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (64, 3), (96, 3), (64, 1)])
def test_pictures_of_every_kind_keep_their_shape_and_range(side: int, channels: int) -> None:
    images = pictures(8, side, channels)
    spoilt, masks = simulate(images)
    assert spoilt.shape == images.shape and masks.shape == (8, 1, side, side)
    assert spoilt.isfinite().all() and spoilt.abs().max() <= 1
    assert masks.min() >= 0 and masks.max() <= 1


def test_a_seed_repeats_them_and_another_does_not() -> None:
    images = pictures()
    assert all(torch.equal(a, b) for a, b in zip(simulate(images), simulate(images), strict=True))
    assert not torch.equal(simulate(images).masks, simulate(images, seed=1).masks)


def test_most_pictures_have_a_fault_and_some_are_whole() -> None:
    masks = simulate(pictures(400)).masks
    assert 0.5 < (masks.amax((1, 2, 3)) > 0).float().mean() < 0.7


def test_a_fault_changes_nothing_outside_its_place() -> None:
    images = pictures()
    (spoilt, masks), change = anomalies._with_fault(images, torch.Generator().manual_seed(1))
    different = (spoilt - images).abs().amax(1, keepdim=True)
    assert different[masks == 0].max() == 0
    inside = torch.where(masks > 0, different, 0.0).amax((1, 2, 3))
    assert (inside > 0.05).float().mean() > 0.9
    assert torch.equal(change > 0, inside > 0)


def test_every_kind_of_fault_changes_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(16)
    results = []
    for kind in anomalies.KINDS:
        randint = torch.randint

        def always(*args: object, kind: int = kind, randint=randint, **options: object) -> Tensor:  # type: ignore[no-untyped-def]
            drawn: Tensor = randint(*args, **options)
            return torch.full_like(drawn, kind) if args[0] == len(anomalies.KINDS) else drawn

        with monkeypatch.context() as patch:
            patch.setattr(torch, "randint", always)
            (spoilt, _), change = anomalies._with_fault(images, torch.Generator().manual_seed(1))
        assert (change > 0.01).float().mean() > 0.5, kind
        results.append(spoilt)
    assert not any(torch.equal(a, b) for n, a in enumerate(results) for b in results[:n])


def test_what_cannot_be_seen_is_no_fault() -> None:
    """On one colour nothing shows but a line, a tenth of all faults and, of two, a fifth."""
    masks = simulate(torch.full((400, 3, 64, 64), 0.2)).masks
    assert (masks.amax((1, 2, 3)) > 0).float().mean() == pytest.approx(anomalies.SHARE * 0.19, abs=0.05)


def test_blur_keeps_the_mean_and_loses_detail() -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blurred = anomalies._blur(images, 2.0)
    assert blurred.mean() == pytest.approx(float(images.mean()), abs=0.02)
    assert blurred.std() < images.std() / 3
    assert torch.allclose(anomalies._blur(torch.full((1, 1, 16, 16), 0.3), 2.0), torch.tensor(0.3))
