"""The projected discriminator: heads on the maps of feature networks, which stay as they are."""

import numpy as np
import pytest
import torch
from torch import nn

from kaogan.aux_models.feature_networks.tagger import TaggerFeatures
from kaogan.aux_models.tagger import load_tagger
from kaogan.networks import build_discriminator
from kaogan.networks.projected import PatchHead, ProjectedDiscriminatorSettings


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
