"""StyleGAN2's discriminator (Karras et al. 2020), which StyleGAN3 shares, parameter for parameter as published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from kaogan.config.network_settings import NetworkSettings
from kaogan.core.errors import UsageError
from kaogan.networks.base import Discriminator, DiscriminatorOutput, discriminator_output, resolution_stages
from kaogan.networks.layers import full_precision
from kaogan.networks.registry import register_discriminator
from kaogan.networks.stylegan.filters import prepare_filter
from kaogan.networks.stylegan.layers import RESAMPLE, Conv2d, Linear
from kaogan.networks.stylegan.mapping import Mapping
from kaogan.networks.stylegan.resampling import downsample
from kaogan.networks.stylegan.stylegan2 import Architecture, channels_at


class StyleGAN2DiscriminatorSettings(NetworkSettings):
    """The discriminator; the defaults are those of every published configuration."""

    family: Literal["stylegan2"] = Field("stylegan2", description="the family of networks")
    channel_base: int = Field(32768, ge=4, le=2**20, description="channels at a resolution r are channel_base / r")
    channel_max: int = Field(512, ge=1, le=8192, description="but never more than this")
    architecture: Architecture = Field("resnet", description="skip sees the picture at each resolution")
    attribute_head: Literal["projection", "classifier"] = Field(
        "projection", description="attributes enter the score, as published, or are classified by a head, as in ACGAN"
    )
    cmap_dim: int | None = Field(None, ge=1, le=8192, description="width of the projection; null: channels at 4 px")
    cmap_layers: int = Field(8, ge=1, le=32, description="layers of the mapping of the attributes")
    mbstd_group_size: int | None = Field(4, ge=1, description="pictures compared with each other; null: the batch")
    mbstd_num_channels: int = Field(1, ge=0, le=512, description="channels of their standard deviation; 0: none")
    conv_clamp: float | None = Field(256.0, gt=0, description="limit of every map; null: none")
    freeze_layers: int = Field(0, ge=0, le=64, description="layers that do not learn, from the picture on (Freeze-D)")


@register_discriminator("stylegan2", tiny={"channel_base": 128, "channel_max": 8})
class StyleGAN2Discriminator(Discriminator):
    """images (N, C, S, S), attributes (N, A) -> its output. Raises UsageError for an S that is not 8, 16, ... 1024, and
    for an ``mbstd_num_channels`` that does not divide the channels at 4 px.

    With the attribute head ``projection`` there are no logits; absent attributes mean that no attribute is known.
    """

    Settings = StyleGAN2DiscriminatorSettings

    def __init__(
        self, settings: StyleGAN2DiscriminatorSettings, *, attribute_sizes: Sequence[int], image_size: int,
        channels: int,
    ):  # fmt: skip
        super().__init__()
        s = settings
        resolution_stages("stylegan2", image_size)
        self.c_dim = sum(attribute_sizes) if s.attribute_head == "projection" else 0
        self.resolutions = [2**k for k in range(int(math.log2(image_size)), 2, -1)]
        frozen = 0
        for r in self.resolutions:
            before = channels_at(r, s.channel_base, s.channel_max)
            after = channels_at(r // 2, s.channel_base, s.channel_max)
            block = DiscriminatorBlock(s, before, after, channels, frozen, first=r == image_size)
            frozen += block.layers
            self.add_module(f"b{r}", block)
        last = channels_at(4, s.channel_base, s.channel_max)
        if s.mbstd_num_channels and last % s.mbstd_num_channels:
            raise UsageError(
                f"discriminator.mbstd_num_channels is {s.mbstd_num_channels}, which does not divide the "
                f"{last} channels at 4 px"
            )
        width = (s.cmap_dim or last) if self.c_dim else 0
        self.b4 = Epilogue(s, last, width or 1, channels)
        if self.c_dim:
            self.mapping = Mapping(0, self.c_dim, width, s.cmap_layers, None)
        classified = bool(attribute_sizes) and s.attribute_head == "classifier"
        self.attributes = Linear(last, sum(attribute_sizes)) if classified else None

    def forward(self, images: Tensor, attributes: Tensor | None = None) -> DiscriminatorOutput:
        x, image = None, images
        for r in self.resolutions:
            x, image = self.get_submodule(f"b{r}")(x, image)
        features, scores = self.b4(x, image)
        if self.c_dim:
            if attributes is None:
                attributes = features.new_zeros(len(features), self.c_dim)
            embedded = self.mapping(None, attributes.to(features.device))
            scores = (scores * embedded).sum(1) / math.sqrt(embedded.shape[1])
        return discriminator_output(scores, None if self.attributes is None else self.attributes(features))


class DiscriminatorBlock(nn.Module):
    """One resolution: (maps, picture) -> (maps at half of it, picture for the next block if it looks at one)."""

    resample_filter: Tensor

    def __init__(
        self, s: StyleGAN2DiscriminatorSettings, before: int, after: int, channels: int, frozen: int, first: bool
    ):
        super().__init__()
        self.architecture, self.layers = s.architecture, 0
        self.register_buffer("resample_filter", prepare_filter(RESAMPLE))

        def learns() -> bool:
            self.layers += 1
            return frozen + self.layers > s.freeze_layers

        def conv(inputs: int, outputs: int, kernel: int, down: int = 1) -> Conv2d:
            return Conv2d(
                inputs, outputs, kernel, activation="lrelu", down=down, clamp=s.conv_clamp, trainable=learns()
            )

        self.fromrgb = conv(channels, before, 1) if first or s.architecture == "skip" else None
        self.conv0 = conv(before, before, 3)
        self.conv1 = conv(before, after, 3, down=2)
        if s.architecture == "resnet":
            self.skip = Conv2d(before, after, 1, bias=False, down=2, trainable=learns())

    def forward(self, x: Tensor | None, image: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self.fromrgb is not None and image is not None:
            seen = self.fromrgb(image)
            x = seen if x is None else x + seen
            image = downsample(image, self.resample_filter) if self.architecture == "skip" else None
        assert x is not None
        if self.architecture != "resnet":
            return self.conv1(self.conv0(x)), image
        half = math.sqrt(0.5)
        skip = self.skip(x, half)
        return skip + self.conv1(self.conv0(x), half), image


class Epilogue(nn.Module):
    """The 4 px end: (maps, picture) -> features (N, C) and the last layer's outputs (N, outputs). Never in bf16."""

    def __init__(self, s: StyleGAN2DiscriminatorSettings, width: int, outputs: int, channels: int):
        super().__init__()
        self.group, self.stddevs = s.mbstd_group_size, s.mbstd_num_channels
        self.fromrgb = Conv2d(channels, width, 1, activation="lrelu") if s.architecture == "skip" else None
        self.conv = Conv2d(width + self.stddevs, width, 3, activation="lrelu", clamp=s.conv_clamp)
        self.fc = Linear(width * 16, width, activation="lrelu")
        self.out = Linear(width, outputs)

    def forward(self, x: Tensor, image: Tensor | None) -> tuple[Tensor, Tensor]:
        with full_precision(x):
            x = x.to(self.fc.weight.dtype)
            if self.fromrgb is not None and image is not None:
                x = x + self.fromrgb(image.to(x.dtype))
            if self.stddevs:
                x = torch.cat([x, minibatch_stddev(x, self.group, self.stddevs)], 1)
            features = self.fc(self.conv(x).flatten(1))
            return features, self.out(features)


def minibatch_stddev(x: Tensor, group: int | None, channels: int = 1) -> Tensor:
    """How much a picture's group varies, as ``channels`` further maps (N, channels, H, W). Karras et al. 2018.

    Of N pictures those with the same index modulo N / group are a group; ``group`` None takes the batch. Where the
    group does not divide the batch, the largest size that does is taken.
    """
    count, width, height, breadth = x.shape
    size = min(group or count, count)
    while count % size:
        size -= 1
    y = x.reshape(size, -1, channels, width // channels, height, breadth)
    variance = (y - y.mean(0)).square().mean(0)  # Tensor.var takes thirty times as long along a first dimension
    y = (variance + 1e-8).sqrt().mean((2, 3, 4))  # (N / size, channels)
    return y.repeat(size, 1)[:, :, None, None].expand(-1, -1, height, breadth)
