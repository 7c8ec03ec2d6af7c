"""Trained networks that a projected discriminator looks through: their interface, their setting, how they are built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import pydantic
import torch
import torch.nn.functional as F
from pydantic import AfterValidator, BeforeValidator, Field
from torch import Tensor, nn

from kaogan.config.registries import named
from kaogan.core.errors import UsageError
from kaogan.networks.registry import FEATURE_NETWORKS


class FeatureNetwork(nn.Module):
    """The base: pictures (N, 3, size, size) in [-1, 1] -> the maps of ``taps``, each (N, C, side, side).

    A network that does not learn holds its weights in non-persistent buffers (``freeze``): no optimiser moves them, no
    checkpoint repeats them. Build it from weights that travel with the code, never from a download.
    """

    default_size: ClassVar[int]
    """Side of the pictures that it was made for, px."""
    default_taps: ClassVar[tuple[int, ...]]
    """Layers whose maps are used unless others are asked for."""
    can_learn: ClassVar[bool] = False
    """Whether its weights may move, from ``discriminator.unfreeze_at`` on."""
    extractor: ClassVar[str] = ""
    """The word of ``evaluate --features`` for the network whose features these are, if there is one."""

    channels: tuple[int, ...]
    """Channels of each map."""
    sides: tuple[int, ...]
    """Side of each map, px."""

    def __init__(self, size: int, taps: tuple[int, ...], learns: bool) -> None:
        super().__init__()
        self.size, self.taps, self.learns = size, taps, learns

    def forward(self, images: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def resize(self, images: Tensor) -> Tensor:
        """Images (N, 1 or 3, S, S) -> (N, 3, size, size), low-passed where they shrink."""
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        if images.shape[2] == self.size:
            return images
        # Antialiasing changes nothing where pictures grow.
        return F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)


class FeatureNetworkSettings(pydantic.BaseModel):
    """One entry of ``discriminator.feature_networks``."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, named("feature network")]
    size: int | None = Field(None, ge=16, le=512, description="side that pictures are resized to, px; null: its own")
    taps: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, min_length=1, description="layers, counted from 0, whose maps get a head each; null: its own choice"
    )


def _a_list(value: Any) -> Any:
    """A name, or a list with names, stands for entries that have nothing but a name."""
    listed = value if isinstance(value, list | tuple) else [value]
    return [{"name": each} if isinstance(each, str) else each for each in listed]


def _all_different(entries: tuple[FeatureNetworkSettings, ...]) -> tuple[FeatureNetworkSettings, ...]:
    if len(set(entries)) < len(entries):
        raise ValueError("a feature network is named twice with the same settings")
    return entries


OptionalFeatureNetworks = Annotated[
    tuple[FeatureNetworkSettings, ...], BeforeValidator(_a_list), AfterValidator(_all_different)
]
FeatureNetworks = Annotated[OptionalFeatureNetworks, Field(min_length=1)]


def build_feature_networks(entries: Sequence[FeatureNetworkSettings], learn: bool) -> list[FeatureNetwork]:
    """The networks of a setting, with their trained weights, on the CPU; with ``learn`` those that can learn do.

    Raises UsageError for a tap that a network has not, or whose map at this size no head can halve down to 4 px.
    """
    built = []
    for entry in entries:
        family = FEATURE_NETWORKS[entry.name]
        with torch.device("cpu"):  # also where networks are only sketched, on the device "meta"
            network = family(
                entry.size or family.default_size, entry.taps or family.default_taps, learn and family.can_learn
            )
        small = [f"{tap} ({side} px)" for tap, side in zip(network.taps, network.sides, strict=True) if side < 4]
        if small:
            raise UsageError(
                f"the feature network '{entry.name}' at {network.size} px has maps below 4 px at the taps "
                f"{', '.join(small)}: give it a larger size or earlier taps"
            )
        odd = [
            f"{tap} ({side} px)"
            for tap, side in zip(network.taps, network.sides, strict=True)
            if side >> max(0, side.bit_length() - 3) != 4
        ]
        if odd:
            raise UsageError(
                f"the feature network '{entry.name}' at {network.size} px has maps that cannot be halved down to 4 px "
                f"at the taps {', '.join(odd)}: give it a size of 64, 128 or 256"
            )
        built.append(network if network.learns else freeze(network))
    return built


def freeze(network: FeatureNetwork) -> FeatureNetwork:
    """The same module with its parameters turned into non-persistent buffers, which autocast casts only once."""
    for part in network.modules():
        for name, value in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, value.detach(), persistent=False)
        if type(part) is nn.Conv2d:
            part.__class__ = FrozenConv2d  # its state stays what it is
    return network


class FrozenConv2d(nn.Conv2d):
    """nn.Conv2d with weights that never change: their cast to the autocast type is kept."""

    _cast: tuple[Tensor, Tensor | None] | None = None

    def forward(self, x: Tensor) -> Tensor:
        kind = x.device.type
        casts = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
        if not casts or torch.compiler.is_compiling():
            return super().forward(x)
        dtype = torch.get_autocast_dtype(kind)
        if self._cast is None or self._cast[0].dtype != dtype:
            with torch.inference_mode(False), torch.no_grad():  # what is kept may be trained through later
                self._cast = self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype)
        return self._conv_forward(x.to(dtype), *self._cast)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._cast = None  # of another device or type
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cast": None}


def check_taps(name: str, taps: Sequence[int], layers: int) -> None:
    """Raise UsageError for a tap beyond the last layer, or for taps that are not in order."""
    if list(taps) != sorted(set(taps)) or taps[-1] >= layers:
        raise UsageError(
            f"the feature network '{name}' has the layers 0 to {layers - 1}: taps must be some of them in ascending "
            f"order, not {list(taps)}"
        )
