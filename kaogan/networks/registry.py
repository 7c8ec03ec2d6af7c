"""The families of generators and discriminators by name; a module is imported when its family is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from kaogan.core.errors import UsageError
from kaogan.core.registry import Registry

if TYPE_CHECKING:
    from kaogan.config.network_settings import NetworkSettings
    from kaogan.networks.base import Discriminator, Generator


AnyNetwork = TypeVar("AnyNetwork", bound="Generator | Discriminator")

GENERATORS: Registry[type[Generator]] = Registry(
    "generator family",
    {
        "dcgan": "kaogan.networks.dcgan",
        "growing": "kaogan.networks.growing",
        "residual": "kaogan.networks.residual",
        "keras_wgan": "kaogan.networks.keras_wgan",
        "starsface_wgan": "kaogan.networks.starsface_wgan",
        "stylegan2": "kaogan.networks.stylegan.stylegan2",
        "stylegan3": "kaogan.networks.stylegan.stylegan3",
        "r3gan": "kaogan.networks.r3gan",
    },
)
DISCRIMINATORS: Registry[type[Discriminator]] = Registry(
    "discriminator family",
    {
        "dcgan": "kaogan.networks.dcgan",
        "residual": "kaogan.networks.residual",
        "keras_wgan": "kaogan.networks.keras_wgan",
        "starsface_wgan": "kaogan.networks.starsface_wgan",
        "stylegan2": "kaogan.networks.stylegan.discriminator",
        "r3gan": "kaogan.networks.r3gan",
        "projected": "kaogan.networks.projected",
    },
)

# Trained networks stand above the rooms of networks, which know of them by these names only.
FEATURE_NETWORKS: Registry[Any] = Registry(
    "feature network",
    {
        "tagger": "kaogan.aux_models.feature_networks.tagger",
        "mobilenet_v2": "kaogan.aux_models.feature_networks.mobilenet_v2",
    },
)
"""Each a subclass of ``kaogan.networks.feature_networks.FeatureNetwork``."""


def register_generator(
    name: str, *, tiny: Mapping[str, Any] | None = None
) -> Callable[[type[AnyNetwork]], type[AnyNetwork]]:
    """A class decorator: ``generator.family: name`` chooses the ``Generator``.

    ``tiny`` settings make it small for tests. Raises UsageError when the name is taken or the class has no ``Settings``
    of that family.
    """
    return _register(GENERATORS, name, tiny)


def register_discriminator(
    name: str, *, tiny: Mapping[str, Any] | None = None
) -> Callable[[type[AnyNetwork]], type[AnyNetwork]]:
    """The same for a ``Discriminator`` and ``discriminator.family``."""
    return _register(DISCRIMINATORS, name, tiny)


def _register(
    registry: Registry[Any], name: str, tiny: Mapping[str, Any] | None
) -> Callable[[type[AnyNetwork]], type[AnyNetwork]]:
    def add(network: type[AnyNetwork]) -> type[AnyNetwork]:
        settings = getattr(network, "Settings", None)
        field = settings.model_fields.get("family") if settings is not None else None
        if field is None or field.default != name:
            raise UsageError(
                f"{network.__name__} cannot be registered as '{name}': its class attribute Settings has to be a "
                f"NetworkSettings whose field 'family' is '{name}' by default"
            )
        network.tiny = dict(tiny or {})
        registry.register(name, network)
        return network

    return add


@dataclass(frozen=True)
class FamilyInfo:
    """What is known of a family before a network of it is built."""

    name: str
    role: str
    """"generator" or "discriminator"."""
    settings: type[NetworkSettings]
    image_sizes: tuple[int, ...]
    """Sides in px that it makes or takes with its default settings."""
    conditional: bool
    has_style_space: bool


def list_networks() -> list[FamilyInfo]:
    """Every family, generators first, those of plug-ins last. Imports all of them."""
    return [
        FamilyInfo(
            name, role, network.Settings, network.image_sizes.sides(), network.conditional, network.has_style_space
        )
        for role, registry in (("generator", GENERATORS), ("discriminator", DISCRIMINATORS))
        for name, network in registry.items()
    ]
