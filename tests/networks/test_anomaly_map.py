"""The anomaly map: shapes, gradients, and that it learns where pictures are spoilt."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kaogan.networks import build_discriminator
from kaogan.networks.anomaly_map import AnomalyMap, anomaly_loss
from kaogan.networks.base import Discriminator
from kaogan.networks.projected import ProjectedDiscriminatorSettings


def discriminator(image_size: int = 64, channels: int = 3, **settings: object) -> Discriminator:
    torch.manual_seed(0)
    wanted = {"width": 4, "max_width": 8, "anomaly_map": 8, **settings}
    return build_discriminator(
        ProjectedDiscriminatorSettings(**wanted), attribute_sizes=(), image_size=image_size, channels=channels
    )


@pytest.mark.parametrize("unfreeze_at", [None, 0])
def test_heads_and_map_learn_from_their_own_loss_alone(unfreeze_at: int | None) -> None:
    """Also beside a tagger that learns."""
    network = discriminator(unfreeze_at=unfreeze_at)
    network.lr_multiplier(0)
    images = torch.randn(2, 3, 64, 64)
    network.find_anomalies(images).mean().backward()
    moved = {name for name, weight in network.named_parameters() if weight.grad is not None}
    assert moved == {name for name, _ in network.named_parameters() if name.startswith("anomaly_map.")}
    network.zero_grad()
    network(images).scores.mean().backward()
    assert not any(weight.grad is not None for name, weight in network.named_parameters() if "anomaly_map" in name)


def test_the_generator_hears_of_the_map() -> None:
    network, images = discriminator(), torch.randn(2, 3, 64, 64, requires_grad=True)
    network(images, anomalies=True).anomalies.mean().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0


@pytest.mark.parametrize(("size", "channels", "networks"), [
    (64, 3, ["tagger"]), (16, 1, ["tagger"]), (128, 3, ["tagger", "mobilenet_v2"]),
    (64, 3, [{"name": "mobilenet_v2", "size": 128}]), (64, 3, [{"name": "mobilenet_v2", "taps": [13]}]),
])  # fmt: skip
def test_the_map_has_16_px_whatever_the_pictures_and_networks(size: int, channels: int, networks: list[object]) -> None:
    network = discriminator(size, channels, feature_networks=networks)
    images = torch.randn(2, channels, size, size)
    logits = network.find_anomalies(images)
    assert network.finds_anomalies and logits.shape == (2, 1, 16, 16)
    assert torch.allclose(network(images, anomalies=True).anomalies, logits, atol=1e-5)
    assert network(images).anomalies is None


def test_without_the_setting_there_is_no_map() -> None:
    network = discriminator(anomaly_map=0)
    assert not network.finds_anomalies
    assert network(torch.randn(2, 3, 64, 64), anomalies=True).anomalies is None


def test_the_loss_by_hand() -> None:
    masks = torch.zeros(1, 1, 4, 4)
    masks[0, 0, :2, :2] = 1
    right = torch.full((1, 1, 2, 2), -20.0)
    right[0, 0, 0, 0] = 20
    assert anomaly_loss(right, masks) == pytest.approx(0, abs=1e-6)
    # log 2 at each of four places, three times as much at the one that is at fault.
    assert anomaly_loss(torch.zeros(1, 1, 2, 2), masks) == pytest.approx(6 / 4 * torch.log(torch.tensor(2.0)).item())


def test_it_learns_to_find_spots() -> None:
    torch.manual_seed(0)
    network, random = AnomalyMap(3, [(4, 8)], 8), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        images, masks = 0.1 * torch.randn(8, 3, 64, 64, generator=random), torch.zeros(8, 1, 64, 64)
        for n, (y, x) in enumerate(torch.randint(0, 48, (8, 2), generator=random).tolist()):
            images[n, :, y : y + 16, x : x + 16] += 1
            masks[n, :, y : y + 16, x : x + 16] = 1
        return images, masks

    nothing = [torch.zeros(8, 4, 8, 8)]
    for _ in range(30):
        images, masks = batch()
        optimiser.zero_grad()
        anomaly_loss(network(images, nothing), masks).backward()
        optimiser.step()
    images, masks = batch()
    logits = nn.functional.interpolate(network(images, nothing), (64, 64))
    assert logits[masks > 0].mean() > logits[masks == 0].mean() + 1
