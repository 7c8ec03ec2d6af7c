"""R3GAN's networks against SciPy's upfirdn, and files from before the resampling filter was a setting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import upfirdn

from kaogan.config import recipes, renamed
from kaogan.core.errors import UsageError
from kaogan.networks import build_discriminator, build_generator
from kaogan.networks.r3gan import R3GANDiscriminator, R3GANDiscriminatorSettings, R3GANGenerator, R3GANGeneratorSettings

SMALL: dict[str, Any] = {"channel_base": 128, "channel_max": 8, "blocks": 1}
TAPS = np.array([1, 3, 3, 1]) / 8


def up(x: np.ndarray, axis: int) -> np.ndarray:
    """Twice the samples, gain 2: of SciPy's full convolution those whose centre of mass stays where it was."""
    return upfirdn(2 * TAPS, x, up=2, axis=axis).take(range(1, 1 + 2 * x.shape[axis]), axis)


def down(x: np.ndarray, axis: int) -> np.ndarray:
    return upfirdn(TAPS, x, axis=axis).take(range(2, 2 + x.shape[axis], 2), axis)


def pointwise(layer: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    if isinstance(layer, torch.nn.Identity):
        return x
    weight = layer.weight.detach().double().numpy()[:, :, 0, 0]  # type: ignore[union-attr, operator]
    return np.einsum("oi,nihw->nohw", weight, x)


def make(kind: str, **settings: Any) -> Any:
    """Fresh, so that every block passes its input on: its last convolution is 0."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"image_size": 32, "channels": 3}
    if kind == "generator":
        chosen: Any = R3GANGeneratorSettings(**SMALL, **settings)
        return build_generator(chosen, latent_size=4, attribute_size=0, **sizes).double()
    return build_discriminator(R3GANDiscriminatorSettings(**SMALL, **settings), attribute_sizes=(), **sizes).double()


def test_the_generator_against_scipy() -> None:
    network = make("generator")
    assert isinstance(network, R3GANGenerator)
    latents = torch.randn(2, 4, dtype=torch.float64)
    with torch.no_grad():
        found = network(latents).numpy()
        x = (network.basis * network.linear(latents)[:, :, None, None]).numpy()
    for transition in network.transitions:
        x = up(up(pointwise(transition, x), 2), 3)
    np.testing.assert_allclose(found, pointwise(network.to_image, x), atol=1e-10)


def test_the_discriminator_against_scipy() -> None:
    network = make("discriminator")
    assert isinstance(network, R3GANDiscriminator)
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        found = network(images).scores
        x = pointwise(network.from_image, images.numpy())
        for transition in reversed(network.transitions):
            x = pointwise(transition, down(down(x, 2), 3))
        expected = network.score(network.basis(torch.from_numpy(x)).flatten(1))
    torch.testing.assert_close(found, expected.flatten(), atol=1e-10, rtol=0)


@pytest.mark.parametrize(("taps", "symmetric"), [((1, 3, 3, 1), True), ((1, 2, 1), False)])
def test_only_even_filters_keep_pictures_where_they_are(taps: tuple[int, ...], symmetric: bool) -> None:
    """A mirrored input gives the mirrored picture."""
    network = make("generator", resample_filter=taps)
    network.basis.data.copy_(torch.randn_like(network.basis))
    latents = torch.randn(1, 4, dtype=torch.float64)
    with torch.no_grad():
        picture = network(latents)
        network.basis.data.copy_(network.basis.flip(2))
        mirrored = network(latents)
    assert torch.allclose(mirrored, picture.flip(3), atol=1e-10) is symmetric


def test_records_of_earlier_releases_keep_their_filter() -> None:
    for section, kind in (("generator", R3GANGeneratorSettings), ("discriminator", R3GANDiscriminatorSettings)):
        dumped = kind().model_dump(mode="json")
        del dumped["resample_filter"]
        assert renamed.rename_settings({section: dumped}, "a record")[section]["resample_filter"] == [1, 2, 1]
        written = {section: {"family": "r3gan", "blocks": 1}}
        assert renamed.rename_settings(written, "by hand") == written
        given = {section: {**dumped, "resample_filter": [1, 4, 1]}}
        assert renamed.rename_settings(given, "a record") == given
    assert recipes.load("r3gan-64").generator.resample_filter == (1, 3, 3, 1)  # type: ignore[attr-defined]


def test_impossible_filters() -> None:
    for taps in ([1], [1, -1], [1] * 8):
        with pytest.raises(UsageError, match=r"generator\.resample_filter"):
            recipes.load("r3gan-64", {"generator.resample_filter": taps})


def test_a_picture_without_labels_is_seen() -> None:
    """What is unknown counts as the mean of its values: the score is the mean of theirs."""
    torch.manual_seed(0)
    settings: Any = R3GANDiscriminatorSettings(**SMALL)
    network = build_discriminator(settings, attribute_sizes=(3, 2), image_size=16, channels=3)
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    scores = network(images, None).scores
    assert len(set(scores.tolist())) == 4
    slope = torch.autograd.grad(scores.sum(), network.get_parameter("from_image.weight"))[0]
    assert slope.abs().max() > 0

    hair, eyes = torch.eye(3), torch.eye(2)

    def scored(hair: torch.Tensor, eyes: torch.Tensor) -> torch.Tensor:
        return network(images, torch.cat([hair, eyes]).expand(4, 5)).scores

    with torch.no_grad():
        every = [scored(one, other) for one in hair for other in eyes]
        torch.testing.assert_close(scores.detach(), torch.stack(every).mean(0))
        blond = scored(hair[0], torch.zeros(2))
        torch.testing.assert_close(blond, (every[0] + every[1]) / 2)
