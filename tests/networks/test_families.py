"""What holds for every network, over the small settings in cases.py: a family is tested by standing there."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from kaogan.networks import count_parameters
from kaogan.networks.base import DiscriminatorOutput
from tests.networks.cases import (
    CODE,
    DISCRIMINATOR_CASES,
    GENERATOR_CASES,
    SIZES,
    UNSQUASHED,
    discriminator,
    every_discriminator,
    every_generator,
    generator,
    noise,
    one_score,
    pictures,
    settled,
)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64, 128])
@every_generator
def test_generator_shape_and_range(case, size, channels, conditional):
    network = generator(case, size, channels, CODE if conditional else 0)
    latents, conditions = noise(2)
    with torch.no_grad():
        images = network(latents, conditions) if conditional else network(latents)
    assert images.shape == (2, channels, size, size)
    assert images.dtype == torch.float32
    assert GENERATOR_CASES[case]["family"] in UNSQUASHED or images.abs().max() <= 1
    assert not torch.equal(images[0], images[1])


@pytest.mark.parametrize("attribute_sizes", [(), SIZES])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64, 128])
@every_discriminator
def test_discriminator_shape(case, size, channels, attribute_sizes):
    network = discriminator(case, size, channels, attribute_sizes)
    images = pictures(size, channels, 2)
    kept = images.clone()
    with torch.no_grad():
        output = network(images)
    assert isinstance(output, DiscriminatorOutput)
    heads = {"projected": (4,), "projected patches": (5,), "projected two networks": (7,)}.get(case, ())
    assert output.scores.shape == (2, *heads)
    if attribute_sizes:
        assert output.logits.shape == (2, CODE)
    else:
        assert output.logits is None
    assert torch.equal(images, kept)


@every_discriminator
def test_no_attributes_no_head(case):
    assert count_parameters(discriminator(case, attribute_sizes=())) < count_parameters(discriminator(case))


def last_layers(network: nn.Module, family: str) -> list[nn.Module]:
    if family == "stylegan2":
        return [network.b4.out]
    if family == "projected":
        return [head.score for head in (*network.heads, network.patches) if head is not None]
    return [network.score if hasattr(network, "score") else network.heads.score]


# A spectrally normalised last layer cannot be scaled.
@pytest.mark.parametrize(
    "case", [case for case in DISCRIMINATOR_CASES if case not in ("projected", "projected two networks")]
)
def test_scores_are_unbounded_logits(case):
    """Nothing squashes the score: scaling the last layer scales it."""
    network = discriminator(case).eval()
    images = pictures()
    parameters = [p for layer in last_layers(network, DISCRIMINATOR_CASES[case]["family"]) for p in layer.parameters()]
    with torch.no_grad():
        for parameter in parameters:
            parameter.mul_(1e6)
        large = network(images).scores
        for parameter in parameters:
            parameter.mul_(10)
        torch.testing.assert_close(network(images).scores, 10 * large, rtol=1e-4, atol=0)
    assert large.abs().max() > 1


@every_generator
def test_generator_obeys_its_code(case):
    network = settled(generator(case), *noise(8))
    latents, conditions = noise()
    with torch.no_grad():
        change = network(latents, conditions) - network(latents, conditions.flip(1))
    assert (change.abs().amax((1, 2, 3)) > 1e-4).all()


@every_generator
def test_conditional_generator_without_a_code(case):
    with pytest.raises(ValueError, match=rf"\(N, {CODE}\)"):
        generator(case)(noise()[0])


def assert_all_learn(network: nn.Module) -> None:
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # A bias before a norm, or of attention's keys, rightly has a gradient of zero; a weight never.
        assert parameter.dim() < 2 or parameter.grad.any(), name


@every_generator
def test_gradients_reach_every_parameter_of_the_generator(case):
    network = generator(case)
    (network(*noise()) * torch.randn(4, 3, 32, 32)).sum().backward()
    assert_all_learn(network)


@every_discriminator
def test_gradients_reach_every_parameter_of_the_discriminator(case):
    network = discriminator(case)
    output = network(pictures())
    ((one_score(output) * torch.randn(4)).sum() + (output.logits * torch.randn(4, CODE)).sum()).backward()
    assert_all_learn(network)


def gradient_penalty(network: nn.Module, images: Tensor) -> Tensor:
    images = images.clone().requires_grad_()
    scores = network(images).scores
    (slope,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return (slope.square().sum((1, 2, 3)).sqrt() - 1).square().mean()


@every_discriminator
def test_second_derivatives(case):
    """The penalty's gradient along a random direction of the weights, against a central difference in float64."""
    network = discriminator(case, attribute_sizes=()).double()
    for part in network.modules():
        if isinstance(part, _SpectralNorm):
            part.eval()  # or every forward pass would move the norm's vectors
    images = pictures().double()
    parameters = [p for p in network.parameters() if p.requires_grad]
    penalty = gradient_penalty(network, images)
    gradients = torch.autograd.grad(penalty, parameters, allow_unused=True)
    direction = [torch.randn_like(p) * p.abs().mean() for p in parameters]
    expected = sum((g * d).sum() for g, d in zip(gradients, direction, strict=True) if g is not None)

    def moved(step: float) -> Tensor:
        with torch.no_grad():
            torch._foreach_add_(parameters, direction, alpha=step)
        return gradient_penalty(network, images).detach()

    step = 1e-8  # no leaky ReLU of these networks changes sides within it
    measured = (moved(step) - moved(-2 * step)) / (2 * step)  # the second move starts where the first ended
    assert expected.abs() > 1e-6
    torch.testing.assert_close(measured, expected.detach(), rtol=1e-3, atol=1e-6)


@every_generator
def test_generated_picture_is_independent_of_its_batch(case):
    network = settled(generator(case).double(), *(x.double() for x in noise(8)))
    latents, conditions = (x.double() for x in noise())
    with torch.no_grad():
        torch.testing.assert_close(network(latents, conditions)[2:3], network(latents[2:3], conditions[2:3]))


@every_discriminator
def test_scores_are_independent_of_its_batch(case):
    network = settled(discriminator(case).double(), pictures(count=8).double())
    images = pictures().double()
    with torch.no_grad():
        together, alone = network(images), network(images[2:3])
    torch.testing.assert_close(together.scores[2:3], alone.scores)
    torch.testing.assert_close(together.logits[2:3], alone.logits)


@every_generator
def test_generator_channels_last(case):
    network = settled(generator(case).double(), *(x.double() for x in noise(8)))
    inputs = [x.double() for x in noise()]
    with torch.no_grad():
        expected = network(*inputs)
        images = network.to(memory_format=torch.channels_last)(*inputs)
    torch.testing.assert_close(images, expected, check_stride=False)


@every_discriminator
def test_discriminator_channels_last(case):
    network = settled(discriminator(case).double(), pictures(count=8).double())
    images = pictures().double()
    with torch.no_grad():
        expected = network(images)
        network.to(memory_format=torch.channels_last)
        output = network(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(output.scores, expected.scores)
    torch.testing.assert_close(output.logits, expected.logits)


@every_generator
def test_generator_bf16(case):
    network = generator(case).to(memory_format=torch.channels_last)
    settled(network, *noise(8))
    inputs = noise()
    with torch.no_grad():
        expected = network(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        images = network(*inputs)
    images.square().mean().backward()
    assert images.dtype == torch.float32
    assert (images - expected).abs().mean() < 0.2 * expected.abs().mean()
    assert_all_learn(network)


@every_discriminator
def test_discriminator_bf16(case):
    network = discriminator(case).to(memory_format=torch.channels_last)
    images = pictures(count=8).to(memory_format=torch.channels_last)
    settled(network, images)
    with torch.no_grad():
        expected = network(images).scores
    with torch.autocast("cpu", torch.bfloat16):
        output = network(images)
        penalty = gradient_penalty(network, images)
    (output.logits.sum() + penalty).backward()
    assert output.scores.dtype == output.logits.dtype == torch.float32
    torch.testing.assert_close(output.scores, expected, rtol=0.1, atol=0.1 * expected.abs().max().item())
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@every_generator
def test_generator_round_trip(case):
    network = settled(generator(case), *noise(8))
    torch.manual_seed(1)
    other = generator(case).eval()
    inputs = noise()
    with torch.no_grad():
        assert not torch.equal(network(*inputs), other(*inputs))
        other.load_state_dict(network.state_dict())
        assert torch.equal(network(*inputs), other(*inputs))


@every_discriminator
def test_discriminator_round_trip(case):
    network = settled(discriminator(case), pictures(count=8))
    torch.manual_seed(1)
    other = discriminator(case).eval()
    images = pictures()
    with torch.no_grad():
        assert not torch.equal(network(images).scores, other(images).scores)
        other.load_state_dict(network.state_dict())
        assert torch.equal(network(images).scores, other(images).scores)


@every_generator
def test_the_seed_decides_the_weights(case):
    first = generator(case).state_dict()
    torch.manual_seed(0)
    second = generator(case).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
