"""GANime's residual generators and discriminators, every published variant by settings.

Generator: Linear to a small map, a trunk of residual blocks with an optional long skip (as in SRResNet, Ledig et al.
2017), then one stage a doubling, then a 9×9 convolution. Discriminator: strided convolutions with residual blocks
between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from kaogan.config.network_settings import NetworkSettings
from kaogan.networks.base import (
    Discriminator,
    DiscriminatorOutput,
    Generator,
    ImageSizes,
    Init,
    LinearHeads,
    Norm,
    concat_condition,
    resolution_stages,
    to_image,
)
from kaogan.networks.layers import ResidualBlock, initialise, norm_layers
from kaogan.networks.registry import register_discriminator, register_generator

Narrow = Literal["none", "block", "upsample"]


class _Shared(NetworkSettings):
    family: Literal["residual"] = Field("residual", description="the family of networks")
    norm_eps: float = Field(1e-5, gt=0, le=1, description="epsilon of the normalisation")
    slope: float = Field(0.2, ge=0, lt=1, description="negative slope of the leaky ReLUs")
    init: Init = Field("dcgan", description="initial weights: dcgan N(0, 0.02), pytorch or glorot")


class ResidualGeneratorSettings(_Shared):
    """The generator; the defaults are generator_3_0_2, which GANime judged best."""

    width: int = Field(64, ge=1, le=4096, description="channels of the first map")
    start: int = Field(16, ge=2, le=256, description="side of the first map; it doubles until the picture's size")
    stem_norm: bool = Field(True, description="normalise and activate the first map")
    blocks: int = Field(16, ge=0, le=128, description="residual blocks on the first map")
    widen_at: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), description="which of these blocks, counted from 0, double the width"
    )
    long_skip: bool = Field(True, description="add the first map to the trunk's end, behind a norm and a PReLU")
    upsample: Literal["shuffle", "transpose", "bilinear"] = Field("shuffle", description="how a map doubles")
    activation: Literal["prelu", "leaky"] = Field("prelu", description="activation after an upsampling convolution")
    stage_blocks: int = Field(0, ge=0, le=16, description="residual blocks after each doubling but the last")
    last_blocks: int = Field(0, ge=0, le=16, description="residual blocks after the last doubling")
    narrow: Narrow = Field(
        "none", description="what halves the width at each doubling: the block before it, the upsampling, or nothing"
    )
    norm: Norm = Field("batch", description="normalisation of the maps; layer = over C, H and W")
    # GANime wrote BatchNorm2d(c, 0.8) in its blocks, surely meaning the momentum, but the second argument is epsilon:
    # set 0.8 only to use its weights.
    block_eps: float | None = Field(None, gt=0, le=1, description="epsilon inside the residual blocks; null: norm_eps")

    @model_validator(mode="after")
    def _possible(self) -> ResidualGeneratorSettings:
        if self.upsample == "bilinear" and self.narrow == "upsample":
            raise ValueError("bilinear upsampling cannot narrow: set narrow to block or none")
        if any(index >= self.blocks for index in self.widen_at):
            raise ValueError(f"widen_at counts blocks from 0 to {self.blocks - 1}")
        return self


class ResidualDiscriminatorSettings(_Shared):
    """The discriminator; the defaults are discriminator_2 (and discriminator_wgan)."""

    width: int = Field(32, ge=1, le=4096, description="channels of the first map; each later stage doubles")
    max_width: int | None = Field(None, ge=1, le=8192, description="no map has more channels than this")
    blocks: int = Field(2, ge=0, le=16, description="residual blocks after each halving but the last")
    norm: Norm = Field("none", description="normalisation of the maps but the last; batch is discriminator_2_0_1")


@register_generator("residual", tiny={"width": 4, "blocks": 2, "start": 4})
class ResidualGenerator(Generator):
    """latents (N, Z), attributes (N, A) -> images (N, C, S, S) in [-1, 1], S = start·2ⁿ, n >= 1, else UsageError."""

    Settings = ResidualGeneratorSettings
    image_sizes = ImageSizes((16,))

    def __init__(
        self,
        settings: ResidualGeneratorSettings,
        *,
        latent_size: int,
        attribute_size: int,
        image_size: int,
        channels: int,
    ):
        super().__init__()
        s, self.attribute_size = settings, attribute_size
        size, stages = resolution_stages("residual", image_size, ImageSizes((s.start,)))
        width = s.width

        def block(before: int, after: int) -> nn.Module:
            return ResidualBlock(before, after, size, norm=s.norm, eps=s.block_eps or s.norm_eps, slope=s.slope)

        def norm(channels: int) -> list[nn.Module]:
            return norm_layers(s.norm, channels, size, s.norm_eps)

        self.shape = (width, size, size)
        self.linear = nn.Linear(latent_size + attribute_size, width * size * size)
        stem = [*norm(width), nn.LeakyReLU(s.slope, inplace=True)] if s.stem_norm else []
        self.stem = nn.Sequential(*stem)

        trunk: list[nn.Module] = []
        for index in range(s.blocks):
            after = 2 * width if index in s.widen_at else width
            # A long skip joins the trunk's end to its beginning, so a trunk with one does not narrow.
            if s.narrow == "block" and not s.long_skip and index == s.blocks - 1:
                after = max(after // 2, 1)
            trunk.append(block(width, after))
            width = after
        if s.long_skip:
            trunk += [*norm(width), nn.PReLU()]
        self.trunk = nn.Sequential(*trunk)
        self.long_skip: nn.Module | None = None
        if s.long_skip:
            self.long_skip = nn.Identity() if width == s.width else nn.Conv2d(s.width, width, 1)

        body: list[nn.Module] = []
        for stage in range(stages):
            last = stage == stages - 1
            after = max(width // 2, 1) if s.narrow == "upsample" else width
            body += upsampling_layers(s.upsample, width, after)
            size, width = 2 * size, after
            if s.upsample != "bilinear":
                body += norm(width)
                body.append(nn.PReLU() if s.activation == "prelu" else nn.LeakyReLU(s.slope, inplace=True))
            count = s.last_blocks if last else s.stage_blocks
            for index in range(count):
                after = max(width // 2, 1) if s.narrow == "block" and not last and index == count - 1 else width
                body.append(block(width, after))
                width = after
        self.body = nn.Sequential(*body, nn.Conv2d(width, channels, 9, padding=4))
        initialise(self, s.init)

    def forward(self, latents: Tensor, attributes: Tensor | None = None) -> Tensor:
        first = self.stem(
            self.linear(concat_condition(latents, attributes, self.attribute_size)).unflatten(1, self.shape)
        )
        x = self.trunk(first)
        if self.long_skip is not None:
            x = x + self.long_skip(first)
        return to_image(self.body(x))


def upsampling_layers(kind: str, before: int, after: int) -> list[nn.Module]:
    """(N, before, H, W) -> (N, after, 2H, 2W); bilinear keeps the width: after = before."""
    if kind == "bilinear":
        return [nn.Upsample(scale_factor=2, mode="bilinear")]
    if kind == "shuffle":
        return [nn.Conv2d(before, 4 * after, 3, padding=1), nn.PixelShuffle(2)]
    return [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]


@register_discriminator("residual", tiny={"width": 4, "blocks": 1})
class ResidualDiscriminator(Discriminator):
    """images (N, C, S, S) in [-1, 1] -> its output. Raises UsageError for an S that is not 8, 16, 32, ..."""

    Settings = ResidualDiscriminatorSettings

    def __init__(
        self, settings: ResidualDiscriminatorSettings, *, attribute_sizes: Sequence[int], image_size: int, channels: int
    ):
        super().__init__()
        s = settings
        size, stages = resolution_stages("residual", image_size)
        before, width, size = channels, s.width, image_size
        trunk: list[nn.Module] = []
        for stage in range(stages):
            last = stage == stages - 1
            width = min(s.width << stage, s.max_width or s.width << stage)
            trunk.append(nn.Conv2d(before, width, 4, 2, 1))
            size //= 2
            if not last:
                trunk += norm_layers(s.norm, width, size, s.norm_eps)
            trunk.append(nn.LeakyReLU(s.slope, inplace=True))
            if not last:
                trunk += [
                    ResidualBlock(width, width, size, norm=s.norm, eps=s.norm_eps, slope=s.slope, closing=True)
                    for _ in range(s.blocks)
                ]
            before = width
        self.trunk = nn.Sequential(*trunk)
        self.heads = LinearHeads(width * size * size, attribute_sizes)
        initialise(self, s.init)

    def forward(self, images: Tensor, attributes: Tensor | None = None) -> DiscriminatorOutput:
        return self.heads(self.trunk(images))


_PLAIN: dict[str, Any] = {
    "start": 4,
    "stem_norm": False,
    "long_skip": False,
    "blocks": 1,
    "stage_blocks": 1,
    "last_blocks": 1,
}
_DEEP: dict[str, Any] = {"start": 4, "blocks": 4, "stage_blocks": 2, "narrow": "block"}


def _published(latent_size: int = 128, **settings: Any) -> tuple[ResidualGeneratorSettings, int]:
    return ResidualGeneratorSettings.model_validate(settings), latent_size


# GANime's residual generators by its file names: settings and latent size. Its generator_1 is the family `dcgan`.
PUBLISHED: dict[str, tuple[ResidualGeneratorSettings, int]] = {
    "generator_2": _published(**_PLAIN, width=1024, upsample="bilinear", narrow="block"),
    "generator_2_1": _published(**_PLAIN, width=1024, upsample="transpose", narrow="upsample", activation="leaky"),
    "generator_3": _published(blocks=8),
    "generator_3_0_1": _published(blocks=8, width=256),
    "generator_3_0_2": _published(),
    "generator_3_0_3": _published(blocks=8, widen_at=(2, 5)),
    "generator_3_0_4": _published(blocks=8, width=256, upsample="transpose", narrow="upsample"),
    "generator_3_1": _published(**_DEEP, width=512),
    "generator_3_1_1": _published(**_DEEP, width=64),
    "generator_wgan": _published(latent_size=100),
}
