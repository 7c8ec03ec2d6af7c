"""Generators and discriminators: one file a family, each network built from its typed settings.

A generator maps latents (N, Z) and, if conditional, attributes (N, A) to images (N, C, S, S) in [-1, 1]; a
discriminator maps images to a ``DiscriminatorOutput``. None knows of losses. PyTorch is imported with the first family.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kaogan.core.errors import UsageError
from kaogan.networks.registry import (
    DISCRIMINATORS,
    GENERATORS,
    FamilyInfo,
    list_networks,
    register_discriminator,
    register_generator,
)

if TYPE_CHECKING:
    from torch import nn

    from kaogan.config.network_settings import NetworkSettings
    from kaogan.networks.base import Discriminator, Generator

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "FamilyInfo",
    "build_discriminator",
    "build_generator",
    "count_parameters",
    "list_networks",
    "register_discriminator",
    "register_generator",
]


def build_generator(
    settings: NetworkSettings, *, latent_size: int, attribute_size: int, image_size: int, channels: int
) -> Generator:
    """A generator with fresh weights, drawn from torch's global generator.

    ``attribute_size`` is the length of a code, 0 for an unconditional network; ``channels`` is 1 or 3. Raises
    UsageError for an image size that the family cannot make, naming those it can.
    """
    family = GENERATORS[settings.family]
    if attribute_size and not family.conditional:
        raise UsageError(f"the '{settings.family}' generator takes no attributes: set attributes.names to []")
    return family(
        settings,
        latent_size=latent_size,
        attribute_size=attribute_size,
        image_size=image_size,
        channels=channels,
    )


def build_discriminator(
    settings: NetworkSettings, *, attribute_sizes: Sequence[int], image_size: int, channels: int
) -> Discriminator:
    """A discriminator with fresh weights, drawn from torch's global generator.

    ``attribute_sizes`` is the number of values of each attribute, empty for no attribute head. Raises UsageError for an
    image size that the family cannot take, naming those it can. Trained networks that its settings name are handed to
    it built.
    """
    family = DISCRIMINATORS[settings.family]
    handed: dict[str, Any] = {}
    if entries := getattr(settings, "feature_networks", None):
        from kaogan.networks.feature_networks import build_feature_networks

        handed["feature_networks"] = build_feature_networks(
            entries, learn=getattr(settings, "unfreeze_at", None) is not None
        )
        if entries := getattr(settings, "crop_networks", None):
            handed["crop_networks"] = build_feature_networks(entries, learn=False)
    return family(settings, attribute_sizes=attribute_sizes, image_size=image_size, channels=channels, **handed)


def count_parameters(module: nn.Module) -> int:
    """The number of trainable numbers in ``module``."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
