"""The DCGAN generator's own settings."""

import pytest
import torch
from torch import nn

from kaogan.networks import build_generator
from kaogan.networks.dcgan import DCGANGeneratorSettings


@pytest.mark.parametrize("modulation", [0, 6])
def test_the_scale_of_attributes_is_a_factor_of_their_code(modulation):
    settings = {"width": 4, "modulation": modulation}
    size = {"latent_size": 4, "attribute_size": 3, "image_size": 16, "channels": 3}
    plain, scaled = (
        build_generator(DCGANGeneratorSettings(**settings, attribute_scale=scale), **size).eval() for scale in (1, 8)
    )
    for weights in plain.parameters():
        nn.init.normal_(weights, std=0.2)
    scaled.load_state_dict(plain.state_dict())
    latents, codes = torch.randn(3, 4), torch.eye(3)
    with torch.no_grad():
        torch.testing.assert_close(scaled(latents, codes), plain(latents, 8 * codes))
        assert not torch.allclose(scaled(latents, codes), plain(latents, codes), atol=1e-3)
