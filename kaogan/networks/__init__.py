"""Generators and discriminators: one file a family, each network built from its typed settings.

A generator maps latents (N, Z) and, if conditional, codes (N, A) to images (N, C, S, S) in [-1, 1]; a discriminator
maps images to a ``Judgement``. None knows of losses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field
from torch import nn

from kaogan.networks.base import Judgement
from kaogan.networks.dcgan import (
    DCGANDiscriminator,
    DCGANDiscriminatorSettings,
    DCGANGenerator,
    DCGANGeneratorSettings,
)
from kaogan.networks.keras_wgan import (
    KerasWGANDiscriminator,
    KerasWGANDiscriminatorSettings,
    KerasWGANGenerator,
    KerasWGANGeneratorSettings,
)
from kaogan.networks.projected import ProjectedDiscriminator, ProjectedDiscriminatorSettings
from kaogan.networks.r3gan import (
    R3GANDiscriminator,
    R3GANDiscriminatorSettings,
    R3GANGenerator,
    R3GANGeneratorSettings,
)
from kaogan.networks.residual import (
    PUBLISHED,
    ResidualDiscriminator,
    ResidualDiscriminatorSettings,
    ResidualGenerator,
    ResidualGeneratorSettings,
)
from kaogan.networks.starsface_wgan import (
    StarsFaceWGANDiscriminator,
    StarsFaceWGANDiscriminatorSettings,
    StarsFaceWGANGenerator,
    StarsFaceWGANGeneratorSettings,
)
from kaogan.networks.stylegan import (
    StyleGAN2Discriminator,
    StyleGAN2DiscriminatorSettings,
    StyleGAN2Generator,
    StyleGAN2GeneratorSettings,
    StyleGAN3Generator,
    StyleGAN3GeneratorSettings,
)

__all__ = [
    "PUBLISHED",
    "DiscriminatorSettings",
    "GeneratorSettings",
    "Judgement",
    "build_discriminator",
    "build_generator",
    "count_parameters",
]

GeneratorSettings = Annotated[
    DCGANGeneratorSettings
    | ResidualGeneratorSettings
    | KerasWGANGeneratorSettings
    | StarsFaceWGANGeneratorSettings
    | StyleGAN2GeneratorSettings
    | StyleGAN3GeneratorSettings
    | R3GANGeneratorSettings,
    Field(discriminator="family"),
]
DiscriminatorSettings = Annotated[
    DCGANDiscriminatorSettings
    | ResidualDiscriminatorSettings
    | KerasWGANDiscriminatorSettings
    | StarsFaceWGANDiscriminatorSettings
    | StyleGAN2DiscriminatorSettings
    | R3GANDiscriminatorSettings
    | ProjectedDiscriminatorSettings,
    Field(discriminator="family"),
]

GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "dcgan": DCGANGenerator,
    "residual": ResidualGenerator,
    "keras_wgan": KerasWGANGenerator,
    "starsface_wgan": StarsFaceWGANGenerator,
    "stylegan2": StyleGAN2Generator,
    "stylegan3": StyleGAN3Generator,
    "r3gan": R3GANGenerator,
}
DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {
    "dcgan": DCGANDiscriminator,
    "residual": ResidualDiscriminator,
    "keras_wgan": KerasWGANDiscriminator,
    "starsface_wgan": StarsFaceWGANDiscriminator,
    "stylegan2": StyleGAN2Discriminator,
    "r3gan": R3GANDiscriminator,
    "projected": ProjectedDiscriminator,
}


def build_generator(
    settings: GeneratorSettings, *, latent_size: int, attribute_size: int, image_size: int, channels: int
) -> nn.Module:
    """A generator with fresh weights, drawn from torch's global generator.

    ``attribute_size`` is the length of a code, 0 for an unconditional network; ``channels`` is 1 or 3. Raises
    UsageError for an image size that the family cannot make, naming those it can.
    """
    return GENERATORS[settings.family](
        settings,
        latent_size=latent_size,
        attribute_size=attribute_size,
        image_size=image_size,
        channels=channels,
    )


def build_discriminator(
    settings: DiscriminatorSettings, *, attribute_sizes: Sequence[int], image_size: int, channels: int
) -> nn.Module:
    """A discriminator with fresh weights, drawn from torch's global generator.

    ``attribute_sizes`` is the number of values of each attribute, empty for no attribute head. Raises UsageError for an
    image size that the family cannot judge, naming those it can.
    """
    return DISCRIMINATORS[settings.family](
        settings, attribute_sizes=attribute_sizes, image_size=image_size, channels=channels
    )


def count_parameters(module: nn.Module) -> int:
    """The number of trainable numbers in ``module``."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
