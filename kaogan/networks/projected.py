"""A discriminator that sees faces as trained networks do (Sauer et al. 2021, "Projected GANs Converge Faster").

Kaogan's tagger knows already what faces are made of. It stays as it is, at least at first; small networks on its maps
of 32, 16, 8 and 4 px tell real from fake. Further feature networks, ``mobilenet_v2`` say, and a head on the pixels
watch over what the tagger overlooks. Unlike the paper's, the tagger can learn too, once the generator has learnt what
it knows (``unfreeze_at``).

Unlike the paper, the maps are not mixed at random before the heads see them: here that made worse pictures
(docs/results/kao-log.md). The norms of the heads matter: without them real and fake hardly differ in the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from kaogan.config.network_settings import NetworkSettings
from kaogan.core.windows import cut_windows
from kaogan.networks.base import Discriminator, DiscriminatorOutput, discriminator_output, resolution_stages
from kaogan.networks.feature_networks import (
    FeatureNetwork,
    FeatureNetworks,
    FeatureNetworkSettings,
    OptionalFeatureNetworks,
)
from kaogan.networks.layers import BatchNorm2d
from kaogan.networks.registry import FEATURE_NETWORKS, register_discriminator

SLOPE = 0.2
LEARNING = 0.25  # of the learning rate: a trained network should be changed, not forgotten
LAST = 4  # px: where every head on a network's maps ends


class ProjectedDiscriminatorSettings(NetworkSettings):
    """The discriminator."""

    family: Literal["projected"] = Field("projected", description="the family of networks")
    width: int = Field(32, ge=1, le=4096, description="channels of the heads' first maps; deeper maps double")
    max_width: int = Field(128, ge=1, le=8192, description="no map of a head has more channels than this")
    feature_networks: FeatureNetworks = Field(
        (FeatureNetworkSettings(name="tagger"),),
        description="trained networks whose maps are looked at: names (tagger, mobilenet_v2) or {name, size, taps}",
    )
    crop_networks: OptionalFeatureNetworks = Field(
        (), description="the same for crops of pictures larger than a network's own size: one at each doubling"
    )
    crop_zoom: Literal[1, 2, 4] = Field(
        1,
        description="with 2 or 4 there are smaller crops, too, enlarged up to so many times",
    )
    patches: int = Field(
        0, ge=0, le=4096, description="width of a further head that looks at patches of pixels; 0: none"
    )
    unfreeze_at: int | None = Field(
        None, ge=0, description="images after which the tagger's weights learn too, all at a quarter of lr; null: never"
    )
    attribute_head: Literal["projection", "classifier"] = Field(
        "classifier", description="attributes enter the score of every head, or are classified by a head, as in ACGAN"
    )
    norm: Literal["batch", "none"] = Field("batch", description="normalisation of the heads' maps")
    spectral: bool = Field(True, description="spectral norm on every convolution of the heads")


@register_discriminator("projected", tiny={"width": 4, "max_width": 8})
class ProjectedDiscriminator(Discriminator):
    """images (N, C, S, S) in [-1, 1] -> DiscriminatorOutput with a score of each head, (N, H).

    ``feature_networks`` are those of the settings, built. Each is a submodule under its name, the second of a name with
    its place behind it. Raises UsageError for an S that is not 8, 16, 32, ...; each network resizes the pictures.

    ``crop_networks`` look at crops: each at one of its own size from the picture reduced to twice that size, to four
    times, ... up to S, or enlarged up to S · ``crop_zoom``, with a set of heads for every such size.

    With the attribute head ``projection`` (Miyato & Koyama 2018) there are no logits: each head adds the product of its
    features with an embedding of the attributes to its score; absent attributes mean that none is known.

    ``maps``: what ``frozen_maps`` made of the same images and places; the images are still what the patches' head sees.
    """

    Settings = ProjectedDiscriminatorSettings

    def __init__(
        self,
        settings: ProjectedDiscriminatorSettings,
        *,
        attribute_sizes: Sequence[int],
        image_size: int,
        channels: int,
        feature_networks: Sequence[FeatureNetwork],
        crop_networks: Sequence[FeatureNetwork] = (),
    ):
        super().__init__()
        s = settings
        resolution_stages("projected", image_size)
        self.unfreeze_at = s.unfreeze_at
        self.has_frozen_maps = s.unfreeze_at is None
        self._thawing: list[nn.Parameter] | None = None
        self.networks: list[str] = []
        for place, (entry, network) in enumerate(zip(s.feature_networks, feature_networks, strict=True)):
            name = f"{entry.name}_{place}" if entry.name in self.networks else entry.name
            self.networks.append(name)
            self.add_module(name, network)
        maps = [pair for each in feature_networks for pair in zip(each.channels, each.sides, strict=True)]
        projected = sum(attribute_sizes) if s.attribute_head == "projection" else 0
        heads = [Head(width, side, s, projected) for width, side in maps]
        self.heads = nn.ModuleList(heads)
        self.patches = PatchHead(channels, s) if s.patches else None
        self.crop_views = nn.ModuleList(
            CropView(network, side, s)
            for network in crop_networks
            for side in crop_sides(network.size, image_size, s.crop_zoom)
        )
        self.crops = len(self.crop_views)
        features = sum(head.features for head in heads)
        classified = bool(attribute_sizes) and s.attribute_head == "classifier"
        self.attributes = nn.Linear(features, sum(attribute_sizes)) if classified else None

    def forward(
        self,
        images: Tensor,
        attributes: Tensor | None = None,
        places: Tensor | None = None,
        maps: Sequence[Tensor] | None = None,
    ) -> DiscriminatorOutput:
        maps = self.frozen_maps(images, places) if maps is None else maps
        whole, of_crops = maps[: len(self.heads)], maps[len(self.heads) :]
        seen = [head(x, attributes) for head, x in zip(self.heads, whole, strict=True)]
        scores = [score for score, _ in seen]
        if self.patches is not None:
            scores.append(self.patches(images))
        if of_crops:
            heads = [head for view in self.crop_views for head in view.heads]  # type: ignore[union-attr]
            scores += [head(x)[0] for head, x in zip(heads, of_crops, strict=True)]
        logits = None
        if self.attributes is not None:
            logits = self.attributes(torch.cat([features for _, features in seen], 1))
        return discriminator_output(torch.cat(scores, 1), logits)

    def frozen_maps(self, images: Tensor, places: Tensor | None = None) -> list[Tensor]:
        """The maps of all feature networks, and behind them those of crops, if there are ``places``."""
        resized: dict[object, Tensor] = {}  # networks of one size share it
        maps = []
        for network in self.feature_networks:
            how = network.size, type(network).resize
            if how not in resized:
                resized[how] = network.resize(images)
            maps += network(resized[how])
        if places is not None:
            maps += [x for view, at in zip(self.crop_views, places.unbind(1), strict=True) for x in view(images, at)]
        return maps

    @property
    def feature_networks(self) -> list[FeatureNetwork]:
        return [self.get_submodule(name) for name in self.networks]  # type: ignore[misc]

    def lr_multiplier(self, images_seen: int) -> float:
        """The share of the learning rate after so many images; from ``unfreeze_at`` on the tagger's weights learn, but
        for those that had been frozen when this was first asked."""
        learning = self.unfreeze_at is not None and images_seen >= self.unfreeze_at
        if self._thawing is None:
            weights = [w for network in self.feature_networks if network.learns for w in network.parameters()]
            self._thawing = [weight for weight in weights if weight.requires_grad]
        for weight in self._thawing:
            weight.requires_grad_(learning)
        return LEARNING if learning else 1.0

    @classmethod
    def trained_against(cls, settings: NetworkSettings) -> tuple[str, ...]:
        assert isinstance(settings, ProjectedDiscriminatorSettings)
        entries = (*settings.feature_networks, *settings.crop_networks)
        names = [FEATURE_NETWORKS[entry.name].extractor or entry.name for entry in entries]
        return tuple(dict.fromkeys(names))


class Head(nn.Module):
    """A map (N, before, size, size) of a feature network, attributes (N, A) -> a score (N, 1) and features (N, F)."""

    def __init__(self, before: int, size: int, s: ProjectedDiscriminatorSettings, attribute_size: int = 0):
        super().__init__()
        layers: list[nn.Module] = []
        width = min(max(s.width, before), s.max_width)
        while not layers or size > LAST:
            layers += halving(before, width, s) if size > LAST else convolution(before, width, 3, 1, s)
            before, width, size = width, min(2 * width, s.max_width), max(size // 2, LAST)
        self.features = before
        self.trunk = nn.Sequential(*layers)
        self.score = normalised(nn.Conv2d(before, 1, LAST), s)
        self.embed = normalised(nn.Linear(attribute_size, before, bias=False), s) if attribute_size else None

    def forward(self, x: Tensor, attributes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = self.trunk(x)
        score, features = self.score(x).flatten(1), x.mean((2, 3))
        if self.embed is not None and attributes is not None:
            score = score + (features * self.embed(attributes.to(features.device))).sum(1, keepdim=True)
        return score, features


class CropView(nn.Module):
    """Crops of ``side`` px of pictures (N, C, S, S), reduced to the network's size, -> its maps; and the heads that
    score them."""

    def __init__(self, network: FeatureNetwork, side: int, s: ProjectedDiscriminatorSettings):
        super().__init__()
        self.network, self.side = network, side
        self.heads = nn.ModuleList(Head(*each, s) for each in zip(network.channels, network.sides, strict=True))

    def forward(self, images: Tensor, places: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.network(self.network.resize(crop(images, self.side, places)))
        return maps


def crop_sides(size: int, image_size: int, zoom: int = 1) -> list[int]:
    """Sides of the crops that are ``size`` px large in pictures of 2·size, 4·size, ... ``image_size`` · ``zoom`` px."""
    count = (image_size * zoom // size).bit_length() - 1
    return [image_size >> n for n in range(1, count + 1)]


def crop(images: Tensor, side: int, places: Tensor) -> Tensor:
    """Images (N, C, S, S) -> (N, C, side, side), each cut out at its own place (N, 2) in [0, 1), row and column."""
    starts = (places * (images.shape[2] - side + 1)).long().tolist()
    return cut_windows(images, [(top, left) for top, left in starts], (side, side))


class PatchHead(nn.Module):
    """Pictures (N, C, S, S) -> the mean score (N, 1) of their patches, each 12 px wide."""

    def __init__(self, channels: int, s: ProjectedDiscriminatorSettings):
        super().__init__()
        width = s.patches
        self.trunk = nn.Sequential(
            normalised(nn.Conv2d(channels, width, 3, padding=1), s),
            nn.LeakyReLU(SLOPE, inplace=True),
            *halving(width, width, s),
            *halving(width, 2 * width, s),
        )
        self.score = normalised(nn.Conv2d(2 * width, 1, 1), s)

    def forward(self, images: Tensor) -> Tensor:
        return self.score(self.trunk(images)).mean((2, 3))


def halving(before: int, after: int, s: ProjectedDiscriminatorSettings) -> list[nn.Module]:
    return convolution(before, after, 4, 2, s)


def convolution(
    before: int, after: int, kernel: int, stride: int, s: ProjectedDiscriminatorSettings
) -> list[nn.Module]:  # fmt: skip
    norm = [BatchNorm2d(after)] if s.norm == "batch" else []
    return [normalised(nn.Conv2d(before, after, kernel, stride, 1), s), *norm, nn.LeakyReLU(SLOPE, inplace=True)]


def normalised(layer: nn.Module, s: ProjectedDiscriminatorSettings) -> nn.Module:
    return spectral_norm(layer) if s.spectral else layer
