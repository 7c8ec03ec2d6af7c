"""The Keras WGAN: 5×5 kernels with TensorFlow's 'same' padding, activations before each convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kaogan.config.network_settings import NetworkSettings
from kaogan.networks.base import (
    Discriminator,
    DiscriminatorOutput,
    Generator,
    ImageSizes,
    Init,
    LinearHeads,
    concat_condition,
    resolution_stages,
    to_image,
)
from kaogan.networks.layers import BatchNorm2d, initialise
from kaogan.networks.registry import register_discriminator, register_generator

SIZES = ImageSizes((4, 5, 6, 7))  # the source halves a side for as long as it is above 7


class _Shared(NetworkSettings):
    family: Literal["keras_wgan"] = Field("keras_wgan", description="the family of networks")
    width: int = Field(32, ge=1, le=1024, description="channels of the map next to the picture; deeper maps double")
    max_width: int = Field(512, ge=1, le=8192, description="no map has more channels than this")
    init: Init = Field("glorot", description="initial weights: glorot uniform, dcgan N(0, 0.02) or pytorch")

    def widths(self, stages: int) -> list[int]:
        """Channels of the hidden maps, from the picture inwards: one at full size and one for each halving."""
        return [min(self.width << i, self.max_width) for i in range(stages + 1)]


class KerasWGANGeneratorSettings(_Shared):
    """The generator of the Keras WGAN."""

    norm_eps: float = Field(1e-3, gt=0, le=1, description="epsilon of the batch norm")


class KerasWGANDiscriminatorSettings(_Shared):
    """The critic of the Keras WGAN."""

    slope: float = Field(0.2, ge=0, lt=1, description="negative slope of the leaky ReLUs")
    # The source has it, on pictures in [0, 1], where it does nothing; on [-1, 1] it would dim every dark pixel.
    input_activation: bool = Field(False, description="a leaky ReLU on the picture itself")


class SameConv(nn.Conv2d):
    """Convolution 5×5 as TensorFlow's 'same': (N, C, H, W) -> (N, C', H/stride, W/stride) for even H, W.

    With stride 2 it pads 1 before and 2 after, which no symmetric padding can do.
    """

    def __init__(self, before: int, after: int, stride: int):
        super().__init__(before, after, 5, stride, padding=2 if stride == 1 else 0)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.stride == (1, 1) else F.pad(x, (1, 2, 1, 2)))


class SameConvTranspose(nn.ConvTranspose2d):
    """Transposed convolution 5×5 as TensorFlow's 'same': (N, C, H, W) -> (N, C', stride·H, stride·W).

    With stride 2 it crops 1 before and 2 after: PyTorch's padding crops the one on either side, a slice the last.
    """

    def __init__(self, before: int, after: int, stride: int):
        super().__init__(before, after, 5, stride, padding=2 if stride == 1 else 1)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        x = super().forward(x, output_size)
        return x if self.stride == (1, 1) else x[..., :-1, :-1]


@register_generator("keras_wgan", tiny={"width": 4, "max_width": 8})
class KerasWGANGenerator(Generator):
    """latents (N, Z), attributes (N, A) -> images (N, C, S, S) in [-1, 1], S = 4, 5, 6 or 7 times 2ⁿ, else UsageError.

    One stage a doubling and two at full size, whatever S is, as in the source.
    """

    Settings = KerasWGANGeneratorSettings
    image_sizes = SIZES

    def __init__(
        self,
        settings: KerasWGANGeneratorSettings,
        *,
        latent_size: int,
        attribute_size: int,
        image_size: int,
        channels: int,
    ):
        super().__init__()
        self.attribute_size = attribute_size
        start, stages = resolution_stages("keras_wgan", image_size, SIZES)
        widths = [*settings.widths(stages)[::-1], channels]
        before = widths[0]
        self.shape = (before, start, start)
        self.linear = nn.Linear(latent_size + attribute_size, before * start * start)
        body: list[nn.Module] = []
        for stage, after in enumerate(widths):
            body += [BatchNorm2d(before, eps=settings.norm_eps), nn.ReLU(inplace=True)]
            body.append(SameConvTranspose(before, after, 2 if stage < stages else 1))
            before = after
        self.body = nn.Sequential(*body)
        initialise(self, settings.init)

    def forward(self, latents: Tensor, attributes: Tensor | None = None) -> Tensor:
        x = self.linear(concat_condition(latents, attributes, self.attribute_size)).unflatten(1, self.shape)
        return to_image(self.body(x) / 2)  # tanh(x/2) = 2·sigmoid(x) − 1: the source's sigmoid, moved to [-1, 1]


@register_discriminator("keras_wgan", tiny={"width": 4, "max_width": 8})
class KerasWGANDiscriminator(Discriminator):
    """images (N, C, S, S) in [-1, 1] -> its output. Raises UsageError for an S that is not 4, 5, 6 or 7 times 2ⁿ.

    The strides go on down to the smallest map at every size; the source's stop early from 128 px on.
    """

    Settings = KerasWGANDiscriminatorSettings
    image_sizes = SIZES

    def __init__(
        self,
        settings: KerasWGANDiscriminatorSettings,
        *,
        attribute_sizes: Sequence[int],
        image_size: int,
        channels: int,
    ):
        super().__init__()
        s = settings
        start, stages = resolution_stages("keras_wgan", image_size, SIZES)
        # Not in place on the picture, which belongs to the caller.
        trunk: list[nn.Module] = [nn.LeakyReLU(s.slope)] if s.input_activation else []
        before = channels
        for stage, width in enumerate(s.widths(stages)):
            if stage:
                trunk.append(nn.LeakyReLU(s.slope, inplace=True))
            trunk.append(SameConv(before, width, 2 if stage < stages else 1))
            before = width
        self.trunk = nn.Sequential(*trunk)
        self.heads = LinearHeads(before * start * start, attribute_sizes)
        initialise(self, s.init)

    def forward(self, images: Tensor, attributes: Tensor | None = None) -> DiscriminatorOutput:
        return self.heads(self.trunk(images))
