"""DCGAN and its kin: DCGAN, ACGAN, SAGAN, BaMSGAN, StarsFace's DCGAN, WGAN and WGANP, all by settings.

Radford et al. 2016. A stack of stages, each doubling (generator) or halving (discriminator) the map.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import BeforeValidator, Field, field_validator, model_validator
from torch import Tensor, nn

from kaogan.config.network_settings import NetworkSettings
from kaogan.core.device import constant
from kaogan.networks.base import (
    Discriminator,
    DiscriminatorOutput,
    Generator,
    Init,
    Norm,
    concat_condition,
    discriminator_output,
    resolution_stages,
    to_image,
)
from kaogan.networks.cpu.convolutions import Conv2d, ConvTranspose2d
from kaogan.networks.layers import (
    BatchNorm2d,
    ModulatedBatchNorm2d,
    ResidualBlock,
    SelfAttention,
    full_precision,
    initialise,
    initialise_modulation,
    leaky_norm_layers,
    modulate,
    norm_layers,
    normalise_spectra,
)
from kaogan.networks.registry import register_discriminator, register_generator

Upsample = Literal["transpose", "nearest", "bilinear", "shuffle"]
MapSize = Annotated[int, Field(ge=4, le=1024)]
# A single size stands for a list of one.
MapSizes = Annotated[tuple[MapSize, ...], BeforeValidator(lambda v: (v,) if isinstance(v, int) else v)]


class _Shared(NetworkSettings):
    family: Literal["dcgan"] = Field("dcgan", description="the family of networks")
    width: int = Field(64, ge=1, le=4096, description="channels of the map next to the picture; deeper maps double")
    max_width: int | None = Field(None, ge=1, le=8192, description="no map has more channels than this")
    kernel: int = Field(4, ge=3, le=9, description="kernel of the strided convolutions")
    bias: bool = Field(False, description="biases in the hidden convolutions")
    final_bias: bool = Field(False, description="a bias in the last convolution")
    norm: Norm = Field("batch", description="normalisation of the hidden maps; layer = over C, H and W")
    norm_eps: float = Field(1e-5, gt=0, le=1, description="epsilon of the normalisation")
    spectral: bool = Field(False, description="spectral norm on every convolution but the last")
    attention: MapSizes = Field(
        (), description="map sizes after which self-attention stands; sizes the network does not pass are skipped"
    )
    init: Init = Field("dcgan", description="initial weights: dcgan N(0, 0.02), pytorch or glorot")

    @field_validator("attention")
    @classmethod
    def _powers_of_two(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        for size in sizes:
            if size & (size - 1):
                raise ValueError(f"map sizes are powers of two, {size} is not")
        return sizes

    def widths(self, stages: int) -> list[int]:
        """Channels of the hidden maps, from the picture inwards."""
        return [min(self.width << i, self.max_width or self.width << i) for i in range(stages)]


class DCGANGeneratorSettings(_Shared):
    """The generator; the defaults are those of the PyTorch example's DCGAN."""

    upsample: Upsample = Field("transpose", description="how a map doubles; all but transpose use 3×3 convolutions")
    activation: Literal["relu", "leaky"] = Field("relu", description="activation of the hidden maps")
    slope: float = Field(0.2, ge=0, lt=1, description="negative slope when the activation is leaky")
    output_filter: Literal["none", "binomial", "sharp"] = Field(
        "none",
        description="a fixed low-pass filter before the tanh, which takes checkerboards away: binomial is 1-2-1, sharp "
        "keeps more of the fine detail",
    )
    sampling_filter: Literal["none", "binomial", "sharp"] = Field(
        "none", description="such a filter of sampled pictures alone: the discriminator sees them without it"
    )
    chroma_filter: Literal["none", "binomial"] = Field(
        "none",
        description="a fixed low-pass filter of colour alone: with binomial brightness carries the fine detail, as in "
        "JPEG and video, and no coloured weave can be drawn",
    )
    to_rgb: Literal["doubling", "conv"] = Field(
        "doubling",
        description="what draws the colours: doubling the last layer itself, from a map of half the size, as DCGAN; "
        "conv a 3×3 convolution of one more map, at full size and of half the width",
    )
    modulation: int = Field(
        0,
        ge=0,
        le=4096,
        description="units of a layer on the latent that scales and shifts every normalised map but those of "
        "tail_blocks: more kinds of faces, sooner; 0: none (self-modulation, Chen et al. 2019)",
    )
    attribute_scale: float = Field(
        1.0,
        gt=0,
        le=1000,
        description="factor of the attributes' code beside the latent: more, and they are sooner as asked, with fewer "
        "kinds of faces; the root of latent.size / number of attributes makes both weigh alike at first",
    )
    tail_blocks: int = Field(0, ge=0, le=64, description="residual blocks at full size (Anime-Generation's colouriser)")

    @model_validator(mode="after")
    def _only_batch_norm_is_modulated(self) -> Self:
        if self.modulation and self.norm != "batch":
            raise ValueError(f"modulation needs norm: batch, not {self.norm}")
        return self


class DCGANDiscriminatorSettings(_Shared):
    """The discriminator; the defaults are those of the PyTorch example's DCGAN."""

    first_norm: bool = Field(False, description="normalise after the first convolution too")
    slope: float = Field(0.2, ge=0, lt=1, description="negative slope of the leaky ReLUs")
    attribute_head: Literal["linear", "bottleneck", "split"] = Field(
        "linear", description="linear: one layer; bottleneck: Anime-Generation's; split: one small network an attribute"
    )


@register_generator("dcgan", tiny={"width": 4})
class DCGANGenerator(Generator):
    """latents (N, Z), attributes (N, A) -> images (N, C, S, S) in [-1, 1], S = 8, 16, 32, ..., else UsageError."""

    Settings = DCGANGeneratorSettings

    def __init__(
        self, settings: DCGANGeneratorSettings, *, latent_size: int, attribute_size: int, image_size: int, channels: int
    ):
        super().__init__()
        s, self.attribute_size, self.attribute_scale = settings, attribute_size, settings.attribute_scale
        self.output_filter, self.sampling_filter = s.output_filter, s.sampling_filter
        self.chroma_filter = s.chroma_filter
        size, stages = resolution_stages("dcgan", image_size)
        widths = s.widths(stages)[::-1]
        z = latent_size + attribute_size
        self.style = nn.Sequential(nn.Linear(z, s.modulation), nn.ReLU()) if s.modulation else None
        body: list[nn.Module] = [ConvTranspose2d(z, widths[0], size, bias=s.bias)]

        def add_norm_act(width: int) -> None:
            body.extend(generator_norm(s, width, size))
            body.append(nn.ReLU(inplace=True) if s.activation == "relu" else nn.LeakyReLU(s.slope, inplace=True))
            if size in s.attention:
                body.append(SelfAttention(width))

        add_norm_act(widths[0])
        for before, after in itertools.pairwise(widths):
            body += doubler(s.upsample, before, after, s.kernel, s.bias)
            size *= 2
            add_norm_act(after)
        if s.tail_blocks or s.to_rgb == "conv":
            width = max(s.width // 2, 1)
            body += doubler(s.upsample, widths[-1], width, s.kernel, s.bias or s.tail_blocks > 0)
            size *= 2
            add_norm_act(width)
            body += [
                ResidualBlock(width, width, size, norm=s.norm, eps=s.norm_eps, slope=0, bias=False)
                for _ in range(s.tail_blocks)
            ]
            kernel = 3 if s.to_rgb == "conv" else 1
            last: list[nn.Module] = [Conv2d(width, channels, kernel, 1, kernel // 2, bias=s.final_bias)]
        else:
            last = doubler(s.upsample, widths[-1], channels, s.kernel, s.final_bias)
        self.body = nn.Sequential(*body)
        self.last = nn.Sequential(*last)
        initialise(self, s.init)
        if self.style is not None:
            initialise_modulation(self.style, self.body)
        if s.spectral:
            normalise_spectra(self.body)

    def forward(self, latents: Tensor, attributes: Tensor | None = None) -> Tensor:
        features, _ = self.features(latents, attributes)
        return self.picture(OUTPUT_FILTERS[self.output_filter](self.last(features)))

    def features(self, latents: Tensor, attributes: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The last map before the colours and, with ``modulation``, the units (N, modulation) that modulate maps."""
        if attributes is not None and self.attribute_scale != 1:
            attributes = attributes * self.attribute_scale
        z = concat_condition(latents, attributes, self.attribute_size)
        style = None if self.style is None else self.style(z)
        return modulate(self.body, z[:, :, None, None], style), style

    def picture(self, x: Tensor) -> Tensor:
        """Unbounded colours (N, C, S, S) -> images in [-1, 1]."""
        images = to_image(x if self.training else OUTPUT_FILTERS[self.sampling_filter](x))
        return CHROMA_FILTERS[self.chroma_filter](images)


@register_discriminator("dcgan", tiny={"width": 4})
class DCGANDiscriminator(Discriminator):
    """images (N, C, S, S) in [-1, 1] -> its output. Raises UsageError for an S that is not 8, 16, 32, ..."""

    Settings = DCGANDiscriminatorSettings

    def __init__(
        self, settings: DCGANDiscriminatorSettings, *, attribute_sizes: Sequence[int], image_size: int, channels: int
    ):
        super().__init__()
        s = settings
        _, stages = resolution_stages("dcgan", image_size)
        trunk: list[nn.Module] = []
        before, size = channels, image_size
        for stage, width in enumerate(s.widths(stages)):
            trunk.append(Conv2d(before, width, s.kernel, 2, (s.kernel - 1) // 2, bias=s.bias))
            size //= 2
            norm = s.norm if stage or s.first_norm else "none"
            trunk += leaky_norm_layers(norm, width, size, s.norm_eps, s.slope)
            if size in s.attention:
                trunk.append(SelfAttention(width))
            before = width
        self.trunk = nn.Sequential(*trunk)
        self.score = Conv2d(before, 1, size, bias=s.final_bias)
        self.attributes = attribute_head(s, before, size, attribute_sizes) if attribute_sizes else None
        initialise(self, s.init)
        if s.spectral:
            normalise_spectra(self.trunk)

    def forward(self, images: Tensor, attributes: Tensor | None = None) -> DiscriminatorOutput:
        features = self.trunk(images)
        return discriminator_output(
            self.score(features), None if self.attributes is None else self.attributes(features)
        )


def generator_norm(s: DCGANGeneratorSettings, channels: int, size: int) -> list[nn.Module]:
    """The normalisation of a map (N, channels, size, size) as a list of no or one module, for ``modulate``."""
    if s.modulation:
        return [ModulatedBatchNorm2d(channels, s.modulation, s.norm_eps)]
    return norm_layers(s.norm, channels, size, s.norm_eps)


def binomial(x: Tensor) -> Tensor:
    """The 1-2-1 filter along both sides, (N, C, H, W) -> the same: nothing is left of what alternates from pixel to
    pixel. Twice a mean of two by two is the same filter."""
    if torch.compiler.is_compiling():
        x = x.contiguous()  # of other layouts PyTorch's compiler mistakes the gradient's (2.14)
    return F.avg_pool2d(F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 2, 1), 2, 1)


def sharp(x: Tensor) -> Tensor:
    """The filter (-1, 4, 10, 4, -1) / 16 along both sides, (N, C, H, W) -> the same. Its response 1 - sin⁴(w/2) is 0 at
    what alternates from pixel to pixel and, unlike the binomial's cos²(w/2), flat at coarse detail."""
    taps = constant((-1.0, 4.0, 10.0, 4.0, -1.0), x) / 16
    channels = x.shape[1]
    x = F.pad(x, (2, 2, 2, 2), mode="replicate")
    x = F.conv2d(x, taps.view(1, 1, 5, 1).repeat(channels, 1, 1, 1), groups=channels)
    return F.conv2d(x, taps.view(1, 1, 1, 5).repeat(channels, 1, 1, 1), groups=channels)


OUTPUT_FILTERS: dict[str, Callable[[Tensor], Tensor]] = {"none": lambda x: x, "binomial": binomial, "sharp": sharp}


def smooth_chroma(images: Tensor) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] -> the same with four times the binomial filter on what differs from the mean of
    the channels: a sixteenth is left of colour whose period is four pixels.

    In pictures of faces that were ever a JPEG, fine detail of colour has a hundredth of the power of that of
    brightness. It stands after the tanh, which would make new fine detail of colour.
    """
    brightness = images.mean(1, keepdim=True)
    with full_precision(images):  # bfloat16 would leave steps in even colour
        high, wide = images.shape[2:]
        rows = _four_binomials(high, images)
        columns = rows if wide == high else _four_binomials(wide, images)
        chroma = rows @ (images - brightness) @ columns.T
    last = images.is_contiguous(memory_format=torch.channels_last)
    chroma = chroma.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    return (brightness + chroma).clamp(-1, 1)


def _four_binomials(side: int, like: Tensor) -> Tensor:
    """(side, side): four times the binomial filter along one side. As matrices it is many times as fast as by pools."""
    places = torch.arange(side, device=like.device)
    whole = torch.eye(side, dtype=like.dtype, device=like.device)
    before, after = whole[(places - 1).clamp(min=0)], whole[(places + 1).clamp(max=side - 1)]
    once = (before + 2 * whole + after) / 4
    twice = once @ once
    return twice @ twice


CHROMA_FILTERS: dict[str, Callable[[Tensor], Tensor]] = {"none": lambda x: x, "binomial": smooth_chroma}


def doubler(kind: Upsample, before: int, after: int, kernel: int, bias: bool) -> list[nn.Module]:
    """Layers from (N, before, H, W) to (N, after, 2H, 2W)."""
    if kind == "transpose":
        return [ConvTranspose2d(before, after, kernel, 2, (kernel - 1) // 2, kernel % 2, bias=bias)]
    if kind == "shuffle":
        return [nn.Conv2d(before, 4 * after, 3, padding=1, bias=bias), nn.PixelShuffle(2)]
    return [nn.Upsample(scale_factor=2, mode=kind), nn.Conv2d(before, after, 3, padding=1, bias=bias)]


def attribute_head(
    settings: DCGANDiscriminatorSettings, channels: int, size: int, attribute_sizes: Sequence[int]
) -> nn.Module:
    """From the last map (N, channels, size, size) to logits (N, A).

    ``bottleneck`` is ``ACGAN.py`` of the ACGAN program, ``split`` its ``ACGAN_split``, both without the sigmoid or
    softmax, which belongs to the objective.
    """
    if settings.attribute_head == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, sum(attribute_sizes)))
    split = settings.attribute_head == "split"
    width = channels if split else max(channels // 2, 1)
    # Batch norm whatever the trunk has: the head is not under any gradient penalty.
    layers = [nn.Conv2d(channels, width, size), BatchNorm2d(width), nn.LeakyReLU(settings.slope, inplace=True)]
    logits = Split(width, attribute_sizes, settings.slope) if split else nn.Linear(width, sum(attribute_sizes))
    return nn.Sequential(*layers, nn.Flatten(), logits)


class Split(nn.Module):
    """One small network for each attribute, (N, C) -> (N, A); as in ``ACGAN_split`` of the ACGAN program."""

    def __init__(self, features: int, attribute_sizes: Sequence[int], slope: float, hidden: int = 128):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(features, hidden),
                nn.BatchNorm1d(hidden),
                nn.LeakyReLU(slope, inplace=True),
                nn.Linear(hidden, count),
            )
            for count in attribute_sizes
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([head(x) for head in self.heads], 1)
