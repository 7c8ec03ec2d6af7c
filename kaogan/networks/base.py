"""What every family shares: base classes, a discriminator's output, image sizes and the conditioning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from kaogan.config.network_settings import NetworkSettings
from kaogan.core.errors import UsageError

LARGEST = 1024

Init = Literal["dcgan", "pytorch", "glorot"]
Norm = Literal["batch", "instance", "layer", "none"]


class DiscriminatorOutput(NamedTuple):
    """What a discriminator says of a batch: unbounded ``scores`` (N,), high for real, or (N, H) of several heads, and,
    where it has attribute heads, unnormalised ``logits`` (N, A) in the schema's order. Float32 even under autocast."""

    scores: Tensor
    logits: Tensor | None = None


@dataclass(frozen=True)
class ImageSizes:
    """The sides that a family makes: start·2ⁿ px with n >= ``fewest``, at most ``largest``."""

    starts: tuple[int, ...] = (4,)
    fewest: int = 1
    largest: int = LARGEST

    def stages(self) -> dict[int, tuple[int, int]]:
        """Side -> (start, n)."""
        return {
            start << n: (start, n)
            for start in self.starts
            for n in range(self.fewest, 11)
            if start << n <= self.largest
        }

    def sides(self) -> tuple[int, ...]:
        return tuple(sorted(self.stages()))


class Network(nn.Module):
    """What generators and discriminators share: the capabilities of their family, read from the class."""

    Settings: ClassVar[type[NetworkSettings]]
    image_sizes: ClassVar[ImageSizes] = ImageSizes()
    """The sides that it makes or takes with its default settings."""
    conditional: ClassVar[bool] = True
    """Whether it can be given attributes."""
    has_style_space: ClassVar[bool] = False
    """Whether it is a generator with ``styles``, ``synthesis``, ``num_ws`` and ``mapping``, as ``StyleGenerator``."""
    tiny: ClassVar[Mapping[str, Any]] = {}
    """Settings that make it small, for tests; set by the registration."""

    def lr_multiplier(self, images_seen: int) -> float:
        """The factor on the learning rate after so many images; called before each step, it may freeze parts too."""
        return 1.0


class Generator(Network):
    """The base of generators: ``__init__(settings, *, latent_size, attribute_size, image_size, channels)`` and
    ``forward(latents (N, Z), attributes (N, A) or None) -> images (N, C, S, S)``."""

    grown: bool = True
    """Whether it makes its finest detail; until it does, no discriminator looks at crops."""

    def __init__(self, settings: Any = None, **sizes: Any) -> None:
        super().__init__()


class Discriminator(Network):
    """The base of discriminators: ``__init__(settings, *, attribute_sizes, image_size, channels)`` and
    ``forward(images (N, C, S, S), attributes (N, A) or None) -> DiscriminatorOutput``."""

    crops: int = 0
    """Crops of each picture that it can look at, too: their places (N, crops, 2) in [0, 1) are then a third argument of
    ``forward``; without it only the whole picture is looked at."""

    has_frozen_maps: bool = False
    """Whether it scores what networks that never change make of the pictures: ``frozen_maps(images, places)`` is then
    the list of their maps, and ``forward`` takes that list as ``maps=`` in place of a look of its own."""

    def __init__(self, settings: Any = None, **sizes: Any) -> None:
        super().__init__()

    def frozen_maps(self, images: Tensor, places: Tensor | None = None) -> list[Tensor]:
        """Only where ``has_frozen_maps``."""
        raise NotImplementedError

    @classmethod
    def trained_against(cls, settings: NetworkSettings) -> tuple[str, ...]:
        """The feature extractors that a discriminator of these settings looks through: a distance in their features
        says little of a generator that was trained to please it."""
        return ()


def resolution_stages(family: str, image_size: int, sizes: ImageSizes = ImageSizes()) -> tuple[int, int]:
    """``(start, n)`` with image_size = start·2ⁿ. Raises UsageError that names the sizes there are."""
    stages = sizes.stages()
    if image_size in stages:
        return stages[image_size]
    raise UsageError(
        f"the '{family}' networks cannot make {image_size} px pictures: "
        f"set the image size to one of {', '.join(map(str, sizes.sides()))}, or choose another family"
    )


def concat_condition(latents: Tensor, attributes: Tensor | None, attribute_size: int) -> Tensor:
    """The generator's input: latents (N, Z) with the code (N, A) behind them -> (N, Z + A)."""
    if not attribute_size:
        return latents
    if attributes is None:
        raise ValueError(f"this generator is conditional: it needs attributes of shape (N, {attribute_size})")
    return torch.cat([latents, attributes.to(latents.dtype)], 1)


def discriminator_output(scores: Tensor, logits: Tensor | None) -> DiscriminatorOutput:
    """Scores of any shape with N elements, or (N, H) of several heads, and logits (N, A) -> an output that losses can
    trust to 24 bits."""
    scores = scores if scores.ndim == 2 and scores.shape[1] > 1 else scores.flatten()
    return DiscriminatorOutput(_widen(scores), None if logits is None else _widen(logits))


def to_image(values: Tensor) -> Tensor:
    """Unbounded (N, C, H, W) -> images in [-1, 1], float32 even under a bf16 autocast, which would leave 7 bits."""
    return torch.tanh(_widen(values))


def _widen(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


class LinearHeads(nn.Module):
    """The score and, where there are attributes, their logits, each one Linear of the flattened last map."""

    def __init__(self, features: int, attribute_sizes: Sequence[int]):
        super().__init__()
        self.score = nn.Linear(features, 1)
        self.attributes = nn.Linear(features, sum(attribute_sizes)) if attribute_sizes else None

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        x = x.flatten(1)
        return discriminator_output(self.score(x), None if self.attributes is None else self.attributes(x))
