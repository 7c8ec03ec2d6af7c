"""Every published network of the five source systems, against figures measured on the sources themselves.

``digest`` is over the sorted shapes of the source's state dict (buffers and spectral-norm vectors included), so that an
importer can rely on a one-to-one match of tensors, whatever their names.
"""

import hashlib

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from kaogan.config.registries import DiscriminatorSettings, GeneratorSettings
from kaogan.networks import build_discriminator, build_generator, count_parameters
from kaogan.networks.residual import PUBLISHED

BAMSGAN = {"bias": True, "final_bias": True, "spectral": True}
ACGAN = {"width": 128, "final_bias": True, "init": "pytorch"}
STARS = {"bias": True, "final_bias": True, "init": "pytorch"}

# name: settings, latent size, attribute size, image size, parameters, digest
GENERATORS = {
    "DCGAN.ipynb": ({"family": "dcgan"}, 100, 0, 64, 3_576_704, None),
    "generator_1": ({"family": "dcgan"}, 128, 0, 64, 3_806_080, "eaa4d3b66418"),
    "BaMSGAN": (
        {"family": "dcgan", "norm": "layer", "attention": [16, 32], **BAMSGAN}, 100, 0, 64, 3_847_349, "6fd3abae3a7a"),
    "ACGAN": ({"family": "dcgan", **ACGAN}, 100, 22, 64, 13_018_883, "3bfa95c198da"),
    "ACGAN year": ({"family": "dcgan", **ACGAN}, 100, 2, 64, 12_691_203, None),
    "ACGAN_Resnet": ({"family": "dcgan", "tail_blocks": 8, **ACGAN}, 100, 22, 64, 13_736_067, "8edc07874b5a"),
    "StarsFace DCGAN, WGAN": ({"family": "dcgan", "width": 128, **STARS}, 100, 0, 64, 12_660_355, "63e6d47cc814"),
    "StarsFace WGANP": (
        {"family": "dcgan", "width": 96, "upsample": "nearest", **STARS}, 100, 0, 64, 4_719_363, "41f3877a99c5"),
    "StarsFace WGAN256": ({"family": "starsface_wgan"}, 100, 0, 256, 6_129_346, "a48ecddc5a9c"),
}  # fmt: skip

# GANime's residual generators: parameters, digest
RESIDUAL = {
    "generator_2": (12_306_563, "de1309c3c8b7"),
    "generator_2_1": (38_425_283, "099202e4ecdf"),
    "generator_3": (3_017_926, "fb4ba2d7520a"),
    "generator_3_0_1": (22_688_518, "86f21a16e2c1"),
    "generator_3_0_2": (3_610_822, "0368497e2d63"),
    "generator_3_0_3": (11_166_214, "4bf1410a03ed"),
    "generator_3_0_4": (18_575_942, "bd4231561275"),
    "generator_3_1": (41_196_680, "7c1ac6637a03"),
    "generator_3_1_1": (764_120, "d1a16a231c96"),
    "generator_wgan": (3_152_070, "e32094bda807"),
}

# name: settings, attribute sizes, image size, parameters, digest
DISCRIMINATORS = {
    "DCGAN.ipynb": ({"family": "dcgan"}, (), 64, 2_765_568, None),
    "discriminator_1": ({"family": "dcgan", "width": 32}, (), 64, 694_656, "02227f582211"),
    "discriminator_2, _wgan": ({"family": "residual"}, (), 64, 1_469_281, "f0141902c544"),
    "discriminator_2_0_1": ({"family": "residual", "norm": "batch"}, (), 64, 1_471_521, "14d390160939"),
    "BaMSGAN": (
        {"family": "dcgan", "norm": "none", "attention": [8, 4], "slope": 0.1, **BAMSGAN},
        (), 64, 3_175_299, "ba11ca6d15fa"),
    "ACGAN": ({"family": "dcgan", "attribute_head": "bottleneck", **ACGAN}, (12, 10), 64, 19_437_591, "5e47c4302c34"),
    "ACGAN year": ({"family": "dcgan", "attribute_head": "bottleneck", **ACGAN}, (2,), 64, 19_427_331, None),
    "ACGAN_split": ({"family": "dcgan", "attribute_head": "split", **ACGAN}, (12, 10), 64, 28_082_199, "495f257cd002"),
    "StarsFace DCGAN": ({"family": "dcgan", "width": 256, **STARS}, (), 64, 44_096_257, "173ac9a1e750"),
    "StarsFace WGAN, WGANP": (
        {"family": "dcgan", "width": 256, "norm": "instance", "first_norm": True, **STARS},
        (), 64, 44_096_769, "2ec08b0675ce"),
    "StarsFace WGAN256": ({"family": "starsface_wgan"}, (), 256, 1_089_665, "4c671786c3d0"),
    "Keras WGAN": ({"family": "keras_wgan"}, (), 64, 4_363_585, None),
}  # fmt: skip


def generator(settings, latent_size: int, attribute_size: int = 0, image_size: int = 64) -> nn.Module:
    settings = TypeAdapter(GeneratorSettings).validate_python(settings)
    sizes = {"latent_size": latent_size, "attribute_size": attribute_size, "image_size": image_size, "channels": 3}
    with torch.device("meta"):
        return build_generator(settings, **sizes)


def check(network: nn.Module, parameters: int, digest: str | None) -> None:
    assert count_parameters(network) == parameters
    if digest is not None:
        shapes = sorted(tuple(tensor.shape) for tensor in network.state_dict().values())
        assert hashlib.sha256(repr(shapes).encode()).hexdigest()[:12] == digest


@pytest.mark.parametrize("name", GENERATORS)
def test_generator(name):
    *arguments, parameters, digest = GENERATORS[name]
    check(generator(*arguments), parameters, digest)


@pytest.mark.parametrize("name", RESIDUAL)
def test_residual_generator(name):
    check(generator(*PUBLISHED[name]), *RESIDUAL[name])


def test_all_residual_generators_are_covered():
    assert PUBLISHED.keys() == RESIDUAL.keys()


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminator(name):
    settings, attribute_sizes, image_size, parameters, digest = DISCRIMINATORS[name]
    settings = TypeAdapter(DiscriminatorSettings).validate_python(settings)
    with torch.device("meta"):
        network = build_discriminator(settings, attribute_sizes=attribute_sizes, image_size=image_size, channels=3)
    check(network, parameters, digest)


@pytest.mark.parametrize(("latent_size", "expected"), [(128, 11_971_779), (100, 11_742_403)])
def test_keras_generator(latent_size, expected):
    """Keras counts the running mean and variance of a batch norm among the parameters."""
    network = generator({"family": "keras_wgan"}, latent_size)
    statistics = sum(2 * part.num_features for part in network.modules() if isinstance(part, nn.BatchNorm2d))
    assert count_parameters(network) + statistics == expected


def test_shapes_of_bamsgan_by_hand():
    settings, *_ = GENERATORS["BaMSGAN"]
    network = generator(settings, 100)
    shapes = {tuple(p.shape) for p in network.parameters()}
    norms = {(512, 4, 4), (256, 8, 8), (128, 16, 16), (64, 32, 32)}  # weights as large as the map they scale
    attention = {(16, 128, 1, 1), (128, 128, 1, 1), (8, 64, 1, 1), (64, 64, 1, 1), (1,)}
    assert norms | attention | {(100, 512, 4, 4), (64, 3, 4, 4)} <= shapes
