"""What holds for every network, over a registry of small settings: a family is tested by standing in the two tables."""

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm

from kaogan.config.registries import DiscriminatorSettings, GeneratorSettings
from kaogan.core.errors import UsageError
from kaogan.networks import DISCRIMINATORS, GENERATORS, build_discriminator, build_generator, count_parameters
from kaogan.networks.base import DiscriminatorOutput

LATENT, SIZES = 6, (3, 2)
CODE = sum(SIZES)

GENERATOR_CASES = {
    "dcgan": {"family": "dcgan", "width": 4},
    "bamsgan": {"family": "dcgan", "width": 8, "norm": "layer", "spectral": True, "attention": [8, 16], "bias": True},
    "dcgan nearest": {"family": "dcgan", "width": 4, "upsample": "nearest", "activation": "leaky", "max_width": 8},
    "dcgan bilinear": {"family": "dcgan", "width": 4, "upsample": "bilinear", "norm": "instance", "init": "pytorch"},
    "dcgan smooth": {"family": "dcgan", "width": 4, "output_filter": "binomial"},
    "dcgan shuffle": {"family": "dcgan", "width": 4, "upsample": "shuffle", "tail_blocks": 2, "kernel": 5},
    "dcgan kernel 5": {"family": "dcgan", "width": 4, "kernel": 5, "norm": "none", "init": "glorot"},
    "residual": {"family": "residual", "width": 4, "blocks": 2, "start": 8, "widen_at": [1]},
    "residual bilinear": {
        "family": "residual", "width": 16, "start": 4, "blocks": 1, "stem_norm": False, "long_skip": False,
        "upsample": "bilinear", "narrow": "block", "stage_blocks": 1, "last_blocks": 1},
    "residual transpose": {
        "family": "residual", "width": 8, "start": 8, "blocks": 1, "upsample": "transpose", "narrow": "upsample"},
    "residual deep": {"family": "residual", "width": 8, "start": 8, "blocks": 1, "stage_blocks": 2, "narrow": "block"},
    "keras_wgan": {"family": "keras_wgan", "width": 4, "max_width": 16},
    "starsface_wgan": {"family": "starsface_wgan", "width": 64},
    "stylegan2": {"family": "stylegan2", "w_dim": 16, "num_layers": 2, "channel_base": 128, "channel_max": 8},
    "stylegan2 resnet": {
        "family": "stylegan2", "w_dim": 16, "num_layers": 2, "channel_base": 128, "channel_max": 8,
        "architecture": "resnet", "conv_clamp": None},
    "stylegan3-t": {
        "family": "stylegan3", "w_dim": 16, "channel_base": 128, "channel_max": 8, "num_layers": 4, "num_critical": 1},
    "stylegan3-r": {
        "family": "stylegan3", "w_dim": 16, "channel_base": 128, "channel_max": 8, "num_layers": 4,
        "conv_kernel": 1, "use_radial_filters": True},
    "r3gan": {"family": "r3gan", "channel_base": 256, "channel_max": 16, "blocks": 1, "embedding": 4},
}  # fmt: skip

# As published, their pictures are cut off where they are shown, not squashed.
UNSQUASHED = ("stylegan2", "stylegan3", "r3gan")

DISCRIMINATOR_CASES = {
    "dcgan": {"family": "dcgan", "width": 4},
    "bamsgan": {
        "family": "dcgan", "width": 8, "norm": "none", "spectral": True, "attention": [8, 4], "bias": True},
    "dcgan bottleneck": {"family": "dcgan", "width": 4, "attribute_head": "bottleneck", "init": "pytorch"},
    "dcgan split": {"family": "dcgan", "width": 4, "attribute_head": "split", "max_width": 8, "kernel": 5},
    "dcgan instance": {"family": "dcgan", "width": 4, "norm": "instance", "first_norm": True, "final_bias": True},
    "dcgan layer": {"family": "dcgan", "width": 4, "norm": "layer", "first_norm": True},
    "residual": {"family": "residual", "width": 4},
    "residual batch": {"family": "residual", "width": 4, "norm": "batch", "blocks": 1, "init": "pytorch"},
    "keras_wgan": {"family": "keras_wgan", "width": 4, "max_width": 16},
    "keras_wgan input": {"family": "keras_wgan", "width": 4, "max_width": 16, "input_activation": True},
    "starsface_wgan": {"family": "starsface_wgan", "width": 16},
    "starsface_wgan layer": {"family": "starsface_wgan", "width": 16, "norm": "layer"},
    # Without the standard deviation of the batch, which would make pictures depend on each other.
    "stylegan2": {
        "family": "stylegan2", "channel_base": 128, "channel_max": 8, "attribute_head": "classifier",
        "mbstd_num_channels": 0},
    "stylegan2 skip": {
        "family": "stylegan2", "channel_base": 128, "channel_max": 8, "attribute_head": "classifier",
        "mbstd_num_channels": 0, "architecture": "skip", "conv_clamp": None},
    "r3gan": {
        "family": "r3gan", "channel_base": 256, "channel_max": 16, "blocks": 1, "attribute_head": "classifier"},
    "projected": {"family": "projected", "width": 4, "max_width": 8},
    "projected two networks": {
        "family": "projected", "width": 4, "max_width": 8, "feature_networks": ["tagger", "mobilenet_v2"]},
    "projected patches": {
        "family": "projected", "width": 4, "max_width": 8, "patches": 4, "norm": "none", "spectral": False},
}  # fmt: skip

every_generator = pytest.mark.parametrize("case", GENERATOR_CASES)
every_discriminator = pytest.mark.parametrize("case", DISCRIMINATOR_CASES)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def generator(case: str, size: int = 32, channels: int = 3, attribute_size: int = CODE) -> nn.Module:
    """A small generator with every part at work."""
    settings = TypeAdapter(GeneratorSettings).validate_python(GENERATOR_CASES[case])
    network = build_generator(
        settings, latent_size=LATENT, attribute_size=attribute_size, image_size=size, channels=channels
    )
    return wake(network)


def discriminator(case: str, size: int = 32, channels: int = 3, attribute_sizes=SIZES) -> nn.Module:
    settings = TypeAdapter(DiscriminatorSettings).validate_python(DISCRIMINATOR_CASES[case])
    network = build_discriminator(settings, attribute_sizes=attribute_sizes, image_size=size, channels=channels)
    return wake(network)


def wake(network: nn.Module) -> nn.Module:
    """Give numbers to what starts at 0 and hides the rest: attention's γ, the last convolutions of R3GAN's blocks."""
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.5)
        if name.endswith("contract.weight"):
            nn.init.normal_(parameter, 0, 0.1)
    return network


def one_score(judgement: DiscriminatorOutput) -> Tensor:
    """(N,): of several heads the mean."""
    return judgement.scores.flatten(1).mean(1) if judgement.scores.ndim > 1 else judgement.scores


def noise(count: int = 4) -> tuple[Tensor, Tensor]:
    return torch.randn(count, LATENT), torch.rand(count, CODE)


def pictures(size: int = 32, channels: int = 3, count: int = 4) -> Tensor:
    return torch.rand(count, channels, size, size) * 2 - 1


def settled(network: nn.Module, *inputs: Tensor) -> nn.Module:
    """In evaluation mode, with running statistics that fit the inputs."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.momentum = 1.0
    network(*inputs)
    return network.eval()


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64, 128])
@every_generator
def test_generator_shape_and_range(case, size, channels, conditional):
    network = generator(case, size, channels, CODE if conditional else 0)
    latents, codes = noise(2)
    with torch.no_grad():
        images = network(latents, codes) if conditional else network(latents)
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
        judgement = network(images)
    assert isinstance(judgement, DiscriminatorOutput)
    heads = {"projected": (4,), "projected patches": (5,), "projected two networks": (7,)}.get(case, ())
    assert judgement.scores.shape == (2, *heads)
    if attribute_sizes:
        assert judgement.logits.shape == (2, CODE)
    else:
        assert judgement.logits is None
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
    latents, codes = noise()
    with torch.no_grad():
        change = network(latents, codes) - network(latents, codes.flip(1))
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
    judgement = network(pictures())
    ((one_score(judgement) * torch.randn(4)).sum() + (judgement.logits * torch.randn(4, CODE)).sum()).backward()
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
    latents, codes = (x.double() for x in noise())
    with torch.no_grad():
        torch.testing.assert_close(network(latents, codes)[2:3], network(latents[2:3], codes[2:3]))


@every_discriminator
def test_judgement_is_independent_of_its_batch(case):
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
        judgement = network(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(judgement.scores, expected.scores)
    torch.testing.assert_close(judgement.logits, expected.logits)


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
        judgement = network(images)
        penalty = gradient_penalty(network, images)
    (judgement.logits.sum() + penalty).backward()
    assert judgement.scores.dtype == judgement.logits.dtype == torch.float32
    torch.testing.assert_close(judgement.scores, expected, rtol=0.1, atol=0.1 * expected.abs().max().item())
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


@pytest.mark.parametrize(
    ("case", "size", "possible"),
    [
        ("dcgan", 48, "8, 16, 32, 64, 128, 256, 512, 1024"),
        ("dcgan", 4, "8, 16"),
        ("dcgan", 2048, "8, 16"),
        ("residual", 8, "16, 32, 64"),
        ("keras_wgan", 36, "8, 10, 12, 14, 16, 20"),
        ("starsface_wgan", 16, "32, 64, 128, 256"),
        ("starsface_wgan", 512, "32, 64, 128, 256"),
        ("stylegan2", 48, "8, 16, 32, 64, 128, 256, 512, 1024"),
        ("stylegan3-t", 8, "16, 32, 64, 128, 256, 512, 1024"),
        ("r3gan", 100, "8, 16, 32, 64, 128, 256, 512, 1024"),
    ],
)
def test_impossible_generator_sizes(case, size, possible):
    with pytest.raises(UsageError, match=f"'{GENERATOR_CASES[case]['family']}'.* {size} px.*{possible}"):
        generator(case, size)


@pytest.mark.parametrize(("case", "size"), [("dcgan", 48), ("residual", 100), ("keras_wgan", 36),
                                            ("starsface_wgan", 16), ("stylegan2", 48), ("projected", 48)])  # fmt: skip
def test_impossible_discriminator_sizes(case, size):
    with pytest.raises(UsageError, match=f"'{DISCRIMINATOR_CASES[case]['family']}'.* {size} px.*32, .*64"):
        discriminator(case, size)


@pytest.mark.parametrize(
    ("case", "size"), [("dcgan", 8), ("keras_wgan", 12), ("keras_wgan", 48), ("starsface_wgan", 256)]
)
def test_other_sizes(case, size):
    images = generator(case, size)(*noise(2))
    assert images.shape == (2, 3, size, size)
    assert discriminator(case, size)(images).scores.shape == (2,)


@pytest.mark.parametrize(
    ("union", "cases", "registry"),
    [
        (GeneratorSettings, GENERATOR_CASES, GENERATORS),
        (DiscriminatorSettings, DISCRIMINATOR_CASES, DISCRIMINATORS),
    ],
)
def test_settings(union, cases, registry):
    adapter = TypeAdapter(union)
    assert {case["family"] for case in cases.values()} == set(registry)
    for case in cases.values():
        settings = adapter.validate_python(case)
        assert adapter.validate_json(adapter.dump_json(settings)) == settings
        assert all(field.description for field in type(settings).model_fields.values())
        with pytest.raises(ValidationError, match="widht"):
            adapter.validate_python({**case, "widht": 4})
        with pytest.raises(ValidationError, match="frozen"):
            settings.width = 5


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"family": "dcgan", "attention": [12]}, "12 is not"),
        ({"family": "residual", "upsample": "bilinear", "narrow": "upsample"}, "cannot narrow"),
        ({"family": "residual", "blocks": 2, "widen_at": [2]}, "from 0 to 1"),
        ({"family": "starsface_wgan", "width": 100}, "multiple of 64"),
        ({"family": "stylegan3", "num_critical": 14}, "less than num_layers"),
        ({"family": "stylegan3", "first_stopband": 1.0}, "must exceed first_cutoff"),
    ],
)
def test_impossible_settings(settings, complaint):
    with pytest.raises(ValidationError, match=complaint):
        TypeAdapter(GeneratorSettings).validate_python(settings)
