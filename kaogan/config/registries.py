"""Registries of the rooms above, which a recipe asks for names and settings.

They are imported when a recipe is validated, not with this module: reading what a recipe is must not wait for PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, SerializeAsAny
from pydantic_core import PydanticCustomError

from kaogan.config.network_settings import NetworkSettings
from kaogan.core.errors import nearest
from kaogan.core.registry import Registry

PLACES = {
    "generator": ("kaogan.networks.registry", "GENERATORS"),
    "discriminator": ("kaogan.networks.registry", "DISCRIMINATORS"),
    "upscaler": ("kaogan.aux_models.upscaler.networks", "UPSCALERS"),
    "feature network": ("kaogan.networks.registry", "FEATURE_NETWORKS"),
    "objective": ("kaogan.losses", "OBJECTIVES"),
    "extra": ("kaogan.losses.extras", "EXTRAS"),
    "metric": ("kaogan.metrics.registry", "METRICS"),
    "format": ("kaogan.data.formats.base", "FORMATS"),
}
"""Kind of part -> module and name of its registry."""

UNKNOWN_FAMILY = "unknown_family"
"""Type of the validation error for a network whose family does not exist; its context has the ``tag``."""


@dataclass(frozen=True)
class Families:
    """Marks a field of a recipe whose settings depend on its key ``family``."""

    kind: str

    def settings(self, family: str) -> type[NetworkSettings]:
        """The settings of a family. Raises UsageError for an unknown one."""
        found: type[NetworkSettings] = registry(self.kind)[family].Settings
        return found

    def names(self) -> list[str]:
        return registry(self.kind).names()

    def __call__(self, value: Any) -> Any:
        """Mapping -> settings of its family; all else is left to the base class's validation."""
        if isinstance(value, NetworkSettings) or not isinstance(value, Mapping):
            return value
        family = value.get("family")
        if not isinstance(family, str) or family not in registry(self.kind):
            tag = "nothing" if family is None else str(family)
            raise PydanticCustomError(UNKNOWN_FAMILY, "unknown family '{tag}'", {"tag": tag})
        return self.settings(family).model_validate(value)


def registry(kind: str) -> Registry[Any]:
    module, name = PLACES[kind]
    found: Registry[Any] = getattr(import_module(module), name)
    return found


@dataclass(frozen=True)
class Named:
    """A check that a name is that of a registered part."""

    kind: str

    def names(self) -> list[str]:
        return list(registry(self.kind))

    def __call__(self, name: str) -> str:
        if name not in (known := self.names()):
            listed = ", ".join(f"'{each}'" for each in known)
            raise ValueError(f"input should be one of {listed}{nearest(name, known)}")
        return name


def named(kind: str) -> AfterValidator:
    """A validator for the name of a registered part."""
    return AfterValidator(Named(kind))


def network(kind: str) -> Any:
    """The type of a recipe's section for a network: the settings of whatever family it names."""
    families = Families(kind)
    return Annotated[SerializeAsAny[NetworkSettings], BeforeValidator(families), families]


GeneratorSettings = network("generator")
DiscriminatorSettings = network("discriminator")
UpscalerSettings = network("upscaler")
