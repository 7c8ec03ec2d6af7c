"""StarsFace's WGAN256 (left unfinished there): pixel shuffle up, stride 4 down, residual blocks between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from kaogan.config.network_settings import NetworkSettings
from kaogan.networks.base import (
    Discriminator,
    DiscriminatorOutput,
    Generator,
    ImageSizes,
    Init,
    Norm,
    concat_condition,
    discriminator_output,
    resolution_stages,
    to_image,
)
from kaogan.networks.layers import initialise, norm_layers
from kaogan.networks.registry import register_discriminator, register_generator

# The last stages alone enlarge 4 px to 32; beyond 256 px the widths run out.
FEWEST = 3
SIZES = ImageSizes(fewest=FEWEST, largest=256)


class _Shared(NetworkSettings):
    family: Literal["starsface_wgan"] = Field("starsface_wgan", description="the family of networks")
    norm: Norm = Field("batch", description="normalisation; a critic under a gradient penalty wants another than batch")
    norm_eps: float = Field(1e-5, gt=0, le=1, description="epsilon of the normalisation")
    init: Init = Field("pytorch", description="initial weights: pytorch, dcgan N(0, 0.02) or glorot")


class StarsFaceWGANGeneratorSettings(_Shared):
    """The generator of WGAN256."""

    width: int = Field(1024, ge=64, le=8192, multiple_of=64, description="channels of the first map; each later a 4th")


class StarsFaceWGANDiscriminatorSettings(_Shared):
    """The critic of WGAN256."""

    width: int = Field(256, ge=1, le=4096, description="channels of the first map; each later one half")
    slope: float = Field(0.2, ge=0, lt=1, description="negative slope of the leaky ReLUs")


class ShuffleBlock(nn.Module):
    """Pixel shuffle by r, then y = x + f(x), f = nearest ×4 and two halving convolutions.

    (N, C·r², H, W) -> (N, C, rH, rW); ``size`` is rH.
    """

    def __init__(self, channels: int, size: int, factor: int, norm: Norm, eps: float):
        super().__init__()
        self.shuffle = nn.PixelShuffle(factor)
        self.body = nn.Sequential(
            nn.Upsample(scale_factor=4, mode="nearest"),
            nn.Conv2d(channels, 2 * channels, 4, 2, 1, bias=False),
            *norm_layers(norm, 2 * channels, 2 * size, eps),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * channels, channels, 4, 2, 1, bias=False),
            *norm_layers(norm, channels, size, eps),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.shuffle(x)
        return x + self.body(x)


class QuarterBlock(nn.Module):
    """A stride-4 convolution, then y = act(x + f(x)), f = conv3×3, norm, act, conv3×3.

    (N, before, 4H, 4W) -> (N, after, H, W); ``size`` is H.
    """

    def __init__(self, before: int, after: int, size: int, norm: Norm, eps: float, slope: float):
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(before, after, 4, 4, 1, bias=False),
            *norm_layers(norm, after, size, eps),
            nn.LeakyReLU(slope, inplace=True),
        )
        self.body = nn.Sequential(
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            *norm_layers(norm, after, size, eps),
            nn.LeakyReLU(slope, inplace=True),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
        )
        self.act = nn.LeakyReLU(slope, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        return self.act(x + self.body(x))


@register_generator("starsface_wgan", tiny={"width": 64})
class StarsFaceWGANGenerator(Generator):
    """latents (N, Z), attributes (N, A) -> images (N, C, S, S) in [-1, 1], S = 32, 64, 128 or 256, else UsageError.

    The published network is that of 256 px; a smaller one has fewer of the blocks at the start.
    """

    Settings = StarsFaceWGANGeneratorSettings
    image_sizes = SIZES

    def __init__(
        self,
        settings: StarsFaceWGANGeneratorSettings,
        *,
        latent_size: int,
        attribute_size: int,
        image_size: int,
        channels: int,
    ):
        super().__init__()
        s, self.attribute_size = settings, attribute_size
        size, stages = resolution_stages("starsface_wgan", image_size, SIZES)
        width = s.width
        body: list[nn.Module] = [
            nn.ConvTranspose2d(latent_size + attribute_size, width, size),
            *norm_layers(s.norm, width, size, s.norm_eps),
            nn.ReLU(inplace=True),
        ]
        for _ in range(stages - FEWEST):
            width, size = width // 4, 2 * size
            body.append(ShuffleBlock(width, size, 2, s.norm, s.norm_eps))
        body += [
            nn.ConvTranspose2d(width, 16 * channels, 4, 2, 1),
            *norm_layers(s.norm, 16 * channels, 2 * size, s.norm_eps),
            nn.ReLU(inplace=True),
            ShuffleBlock(channels, image_size, 4, s.norm, s.norm_eps),
        ]
        self.body = nn.Sequential(*body)
        initialise(self, s.init)

    def forward(self, latents: Tensor, attributes: Tensor | None = None) -> Tensor:
        return to_image(self.body(concat_condition(latents, attributes, self.attribute_size)[:, :, None, None]))


@register_discriminator("starsface_wgan", tiny={"width": 16})
class StarsFaceWGANDiscriminator(Discriminator):
    """images (N, C, S, S) in [-1, 1] -> its output. Raises UsageError for an S that is not 32, 64, 128 or 256."""

    Settings = StarsFaceWGANDiscriminatorSettings
    image_sizes = SIZES

    def __init__(
        self,
        settings: StarsFaceWGANDiscriminatorSettings,
        *,
        attribute_sizes: Sequence[int],
        image_size: int,
        channels: int,
    ):
        super().__init__()
        s = settings
        resolution_stages("starsface_wgan", image_size, SIZES)
        width, size = s.width, image_size // 2
        trunk: list[nn.Module] = [
            nn.Conv2d(channels, width, 4, 2, 1),
            *norm_layers(s.norm, width, size, s.norm_eps),
            nn.LeakyReLU(s.slope, inplace=True),
        ]
        while size > 4:
            before, width, size = width, max(width // 2, 1), size // 4
            trunk.append(QuarterBlock(before, width, size, s.norm, s.norm_eps, s.slope))
        self.trunk = nn.Sequential(*trunk)
        # Quarters of 256 px end at 2×2, those of 128 at 4×4; one 4×4 kernel sees either whole.
        self.score = nn.Conv2d(width, 1, 4, padding=1 if size == 2 else 0)
        self.attributes = (
            nn.Sequential(nn.Flatten(), nn.Linear(width * size * size, sum(attribute_sizes)))
            if attribute_sizes
            else None
        )
        initialise(self, s.init)

    def forward(self, images: Tensor, attributes: Tensor | None = None) -> DiscriminatorOutput:
        features = self.trunk(images)
        return discriminator_output(
            self.score(features), None if self.attributes is None else self.attributes(features)
        )
