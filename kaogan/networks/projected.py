"""A discriminator that sees faces as kaogan's tagger does (Sauer et al. 2021, "Projected GANs Converge Faster").

The tagger knows already what faces are made of. It stays as it is, at least at first; small networks on its maps of 32,
16, 8 and 4 px tell real from fake, and one on the pixels, where it is asked for, watches over textures that the tagger
overlooks. Unlike the paper's, the tagger can learn too once the generator has learnt from it what it knows (``unfreeze_at``).

Unlike the paper, the maps are not mixed at random before the heads see them: here that made worse pictures
(docs/recipes/kao.md). The norms of the heads matter: without them real and fake hardly differ in the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from kaogan.aux_models.tagger import load_tagger
from kaogan.aux_models.tagger.network import IMAGE_SIZE, TaggerNetwork
from kaogan.networks.base import Judgement, Settings, doublings, judge

SLOPE = 0.2
THAWED = 0.25  # of the learning rate: the tagger should be changed, not forgotten
LAST = 4  # px: where every head on the tagger's maps ends


class ProjectedDiscriminatorSettings(Settings):
    """The discriminator."""

    family: Literal["projected"] = Field("projected", description="the family of networks")
    width: int = Field(32, ge=1, le=4096, description="channels of the heads' first maps; deeper maps double")
    max_width: int = Field(128, ge=1, le=8192, description="no map of a head has more channels than this")
    patches: int = Field(
        0, ge=0, le=4096, description="width of a further head that looks at patches of pixels; 0: none"
    )
    unfreeze_at: int | None = Field(
        None, ge=0, description="images after which the tagger's weights learn too, all at a quarter of lr; null: never"
    )
    norm: Literal["batch", "none"] = Field("batch", description="normalisation of the heads' maps")
    spectral: bool = Field(True, description="spectral norm on every convolution of the heads")


class ProjectedDiscriminator(nn.Module):
    """images (N, C, S, S) in [-1, 1] -> Judgement with a score of each head, (N, H).

    Raises UsageError for an S that is not 8, 16, 32, ...; pictures are resized to 64 px for the tagger.
    """

    def __init__(
        self,
        settings: ProjectedDiscriminatorSettings,
        *,
        attribute_sizes: Sequence[int],
        image_size: int,
        channels: int,
    ):
        super().__init__()
        s = settings
        doublings("projected", image_size)
        self.unfreeze_at = s.unfreeze_at
        self.tagger = frozen_tagger() if s.unfreeze_at is None else learning_tagger()
        widths = self.tagger.architecture.widths
        heads = [Head(width, IMAGE_SIZE >> (stage + 1), s) for stage, width in enumerate(widths)]
        self.heads = nn.ModuleList(heads)
        self.patches = PatchHead(channels, s) if s.patches else None
        features = sum(head.features for head in heads)
        self.attributes = nn.Linear(features, sum(attribute_sizes)) if attribute_sizes else None

    def forward(self, images: Tensor, attributes: Tensor | None = None) -> Judgement:
        seen = [head(x) for head, x in zip(self.heads, self.tagger.stages(for_tagger(images)), strict=True)]
        scores = [score for score, _ in seen]
        if self.patches is not None:
            scores.append(self.patches(images))
        logits = None
        if self.attributes is not None:
            logits = self.attributes(torch.cat([features for _, features in seen], 1))
        return judge(torch.cat(scores, 1), logits)

    def pace(self, clock: int) -> float:
        """The share of the learning rate at ``clock`` images; from ``unfreeze_at`` on the tagger's weights learn."""
        learning = self.unfreeze_at is not None and clock >= self.unfreeze_at
        self.tagger.requires_grad_(learning)
        return THAWED if learning else 1.0


class Head(nn.Module):
    """A map (N, before, size, size) of the tagger -> a score (N, 1) and features (N, F)."""

    def __init__(self, before: int, size: int, s: ProjectedDiscriminatorSettings):
        super().__init__()
        layers: list[nn.Module] = []
        width = min(max(s.width, before), s.max_width)
        while not layers or size > LAST:
            layers += halving(before, width, s) if size > LAST else convolution(before, width, 3, 1, s)
            before, width, size = width, min(2 * width, s.max_width), max(size // 2, LAST)
        self.features = before
        self.trunk = nn.Sequential(*layers)
        self.score = normalised(nn.Conv2d(before, 1, LAST), s)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.trunk(x)
        return self.score(x).flatten(1), x.mean((2, 3))


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
    norm = [nn.BatchNorm2d(after)] if s.norm == "batch" else []
    return [normalised(nn.Conv2d(before, after, kernel, stride, 1), s), *norm, nn.LeakyReLU(SLOPE, inplace=True)]


def normalised(layer: nn.Module, s: ProjectedDiscriminatorSettings) -> nn.Module:
    return spectral_norm(layer) if s.spectral else layer


def for_tagger(images: Tensor) -> Tensor:
    """Images (N, 1 or 3, S, S) -> (N, 3, 64, 64)."""
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    if images.shape[2] == IMAGE_SIZE:
        return images
    return F.interpolate(images, (IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", antialias=True)


def learning_tagger() -> TaggerNetwork:
    """The tagger's network without its end, its weights free to move."""
    with torch.device("cpu"):  # also where networks are only sketched, on the device "meta"
        network = load_tagger().network
    del network.last, network.heads
    return network.requires_grad_(True)


def frozen_tagger() -> TaggerNetwork:
    """The tagger's network with buffers for parameters: no optimiser moves them, and no checkpoint repeats them."""
    with torch.device("cpu"):  # also where networks are only sketched, on the device "meta"
        network = load_tagger().network
    for part in network.modules():
        for name, value in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, value.detach(), persistent=False)
    return network
