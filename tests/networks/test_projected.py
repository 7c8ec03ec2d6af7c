"""The projected discriminator: heads on the maps of feature networks, which stay as they are."""

import numpy as np
import pytest
import torch
from torch import nn

from kaogan.aux_models.feature_networks.tagger import TaggerFeatures
from kaogan.aux_models.tagger import load_tagger
from kaogan.networks import build_discriminator
from kaogan.networks.projected import PatchHead, ProjectedDiscriminatorSettings, crop, crop_sides


def projected(channels: int = 3, size: int = 64, **settings) -> nn.Module:
    torch.manual_seed(0)
    chosen = ProjectedDiscriminatorSettings(width=4, max_width=8, **settings)
    return build_discriminator(chosen, attribute_sizes=(), image_size=size, channels=channels)


def test_the_tagger_is_no_part_of_what_is_trained_or_saved():
    network = projected()
    own = load_tagger().network
    assert not list(network.tagger.parameters())
    assert not any(key.startswith("tagger") for key in network.state_dict())
    before = {key: value.clone() for key, value in network.tagger.named_buffers()}
    assert before.keys() == {name for name, _ in own.named_parameters() if name.startswith("body")}
    network.requires_grad_(True)
    optimiser = torch.optim.SGD(network.parameters(), 1.0)
    network(torch.rand(4, 3, 64, 64) * 2 - 1).scores.sum().backward()
    optimiser.step()
    for key, value in network.tagger.named_buffers():
        assert torch.equal(value, before[key])
        assert not value.requires_grad


def test_a_tagger_that_will_learn_begins_as_the_other():
    frozen, learning = projected().eval(), projected(unfreeze_at=100).eval()
    learning.load_state_dict(frozen.state_dict(), strict=False)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(learning(images).scores, frozen(images).scores)
    assert any(key.startswith("tagger.body") for key in learning.state_dict())
    assert (learning.lr_multiplier(99), learning.lr_multiplier(100)) == (1.0, 0.25)
    assert frozen.lr_multiplier(10**9) == 1.0
    before = [weight.clone() for weight in learning.tagger.parameters()]
    learning(images).scores.sum().backward()
    assert all(weight.grad is not None for weight in learning.parameters())
    again = load_tagger().network  # nobody else's weights are lent
    assert torch.equal(again.body[0].down.conv.weight, before[0])


def test_it_sees_the_maps_of_the_tagger():
    network = projected().eval()
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        maps = load_tagger().network.stages(images)
        expected = torch.cat([head(x)[0] for head, x in zip(network.heads, maps, strict=True)], 1)
        torch.testing.assert_close(network(images).scores, expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 64, 256])
def test_any_size_and_grey_are_seen_at_64_px(size, channels):
    grey = np.linspace(-1, 1, size, dtype=np.float32)
    images = torch.from_numpy(np.broadcast_to(grey, (1, channels, size, size)).copy())
    seen = TaggerFeatures(64, (0,), learns=False).resize(images)
    assert seen.shape == (1, 3, 64, 64)
    assert torch.equal(seen[:, 0], seen[:, 2])
    expected = torch.linspace(-1, 1, 64).expand(64, 64)
    assert (seen[0, 0] - expected).abs().max() < 0.07  # but for the borders the same ramp


def test_the_head_of_patches_sees_what_the_tagger_cannot():
    """Fine stripes at 256 px are gone at 64 px."""
    network = projected(size=256, patches=8, norm="none").eval()
    plain = torch.zeros(1, 3, 256, 256)
    stripes = plain.clone()
    stripes[..., ::2], stripes[..., 1::2] = 1, -1
    with torch.no_grad():
        difference = (network(plain).scores - network(stripes).scores).abs()[0]
    assert difference[-1] > 4 * difference[:-1].max(), difference


def test_patches_are_twelve_pixels_wide():
    head = PatchHead(3, ProjectedDiscriminatorSettings(patches=4, norm="none", spectral=False))
    images = torch.zeros(1, 3, 64, 64, requires_grad=True)
    head.score(head.trunk(images))[0, 0, 8, 8].backward()
    rows = images.grad.abs().sum((0, 1, 3)).nonzero()[:, 0]
    assert int(rows.max() - rows.min()) + 1 == 12


def test_attributes_enter_the_score_of_every_head():
    torch.manual_seed(0)
    settings = ProjectedDiscriminatorSettings(width=4, max_width=8, attribute_head="projection")
    network = build_discriminator(settings, attribute_sizes=(2, 3), image_size=64, channels=3).eval()
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    conditions = torch.eye(5)[[1, 4]]
    with torch.no_grad():
        unknown, known = network(images), network(images, conditions)
        assert known.logits is None
        torch.testing.assert_close(network(images, torch.zeros(2, 5)).scores, unknown.scores)
        maps = load_tagger().network.stages(images)
        for column, (head, x) in enumerate(zip(network.heads, maps, strict=True)):
            added = torch.einsum("nf,fa,na->n", head.trunk(x).mean((2, 3)), head.embed.weight, conditions)
            torch.testing.assert_close(known.scores[:, column], unknown.scores[:, column] + added)


def test_crops_are_cut_at_the_place_of_each_picture():
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    images = torch.stack([rows, columns]).expand(3, 2, 8, 8)
    cut = crop(images, 4, torch.tensor([[0.0, 0.0], [0.5, 0.999], [0.21, 0.6]]))
    assert cut.shape == (3, 2, 4, 4)
    assert cut[:, :, 0, 0].tolist() == [[0, 0], [2, 4], [1, 3]]
    assert torch.equal(cut[1, 0, :, 0], torch.arange(2.0, 6.0)) and torch.equal(cut[2, 1, 0], torch.arange(3.0, 7.0))


def test_crops_are_the_networks_own_size_at_each_doubling():
    assert crop_sides(64, 256) == [128, 64] and crop_sides(64, 64) == [] and crop_sides(64, 32) == []
    assert crop_sides(16, 128) == [64, 32, 16]


def test_zoom_adds_smaller_crops_that_are_enlarged():
    assert crop_sides(64, 64, 2) == [32] and crop_sides(64, 128, 2) == [64, 32] and crop_sides(64, 64, 4) == [32, 16]
    assert crop_sides(64, 32, 2) == []
    network = projected(crop_networks=[{"name": "tagger", "size": 64, "taps": (0,)}], crop_zoom=2)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    seen = network.eval()(images, None, torch.zeros(2, 1, 2)).scores[:, -1]
    other = images.clone()
    other[:, :, 32:] = 0  # outside the crop
    assert torch.equal(network(other, None, torch.zeros(2, 1, 2)).scores[:, -1], seen)


def test_without_places_crops_change_nothing():
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    crops = [{"name": "tagger", "size": 16, "taps": (0, 1)}]
    with torch.no_grad():
        plain, network = projected().eval(), projected(crop_networks=crops).eval()
        plain.load_state_dict({name: network.state_dict()[name] for name in plain.state_dict()})
        whole = network(images).scores
        assert torch.equal(whole, plain(images).scores)
        assert (plain.crops, network.crops) == (0, 2)
        seen = network(images, None, torch.rand(2, 2, 2)).scores
    assert seen.shape == (2, 4 + 2 * 2) and torch.equal(seen[:, :4], whole)


def test_heads_on_crops_see_the_crop_alone_and_what_the_whole_hides():
    network = projected(size=128, crop_networks=["tagger"]).eval()
    plain = torch.zeros(1, 3, 128, 128)
    stripes = plain.clone()
    stripes[..., :64, :64] = torch.tensor([1.0, -1.0]).repeat(32)
    with torch.no_grad():
        grey, inside, outside = (
            network(images, None, torch.full((1, 1, 2), place)).scores[0]
            for images, place in ((plain, 0.0), (stripes, 0.0), (stripes, 0.999))
        )
    assert torch.equal(grey[4:], outside[4:])
    assert (inside - grey)[4:].abs().max() > 4 * (inside - grey)[:4].abs().max()


def test_gradients_reach_the_heads_on_crops_and_the_picture():
    network = projected(crop_networks=[{"name": "tagger", "size": 16, "taps": (1,)}])
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    network(images, None, torch.rand(2, 2, 2)).scores[:, 4:].sum().backward()
    assert all(weight.grad.any() for name, weight in network.crop_views.named_parameters() if weight.dim() > 1)
    assert images.grad.any()
    assert not any("network" in name for name in network.state_dict())


def test_what_the_networks_saw_can_be_scored_again():
    network = projected(crop_networks=[{"name": "tagger", "size": 16, "taps": (0, 1)}], patches=4).eval()
    images, places = torch.rand(2, 3, 64, 64) * 2 - 1, torch.rand(2, 2, 2)
    with torch.no_grad():
        seen = network.frozen_maps(images, places)
        assert len(seen) == 4 + 2 * 2 and network.has_frozen_maps
        assert torch.equal(network(images, maps=seen).scores, network(images, None, places).scores)
        assert torch.equal(network(images, maps=network.frozen_maps(images)).scores, network(images).scores)
    assert not projected(unfreeze_at=1000).has_frozen_maps
