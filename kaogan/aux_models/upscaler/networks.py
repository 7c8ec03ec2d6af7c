"""Networks of upscalers: kao-sr, which works at the size of its input, and SRGAN's generator.

They map images (N, 3, H, W) in [-1, 1] and a scale to (N, 3, scale·H, scale·W).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kaogan.config.network_settings import NetworkSettings
from kaogan.core.registry import Registry
from kaogan.networks.base import to_image

Scale = Literal[2, 4, 8]
SCALES: tuple[Scale, ...] = (2, 4, 8)
# A file says how large its network is: within bounds that no useful one reaches.
Width = Annotated[int, Field(ge=1, le=4096)]
Blocks = Annotated[int, Field(ge=0, le=256)]
BAND = 8  # columns of the input that bicubic interpolation takes together


class KaoSRSettings(NetworkSettings):
    family: Literal["kao-sr"] = Field("kao-sr", description="the family of networks")
    widths: tuple[Width, Width, Width] = Field((48, 80, 128), description="channels at full, half and quarter size")
    before: tuple[Blocks, Blocks] = Field((1, 1), description="residual blocks at full and half size on the way down")
    middle: Blocks = Field(2, description="residual blocks at quarter size")
    after: tuple[Blocks, Blocks] = Field((3, 1), description="residual blocks at full and half size on the way up")
    fine: Width = Field(32, description="channels at twice the size of the input")
    scales: tuple[Scale, ...] = Field(SCALES, min_length=1, max_length=len(SCALES), description="a tail for each")


class SRGANSettings(NetworkSettings):
    family: Literal["srgan"] = Field("srgan", description="the family of networks")
    width: Width = Field(64, description="channels of the hidden maps")
    blocks: Blocks = Field(4, description="residual blocks")
    scales: tuple[Scale, ...] = Field((8,), min_length=1, max_length=1, description="the one that it is made for")


class EDSRBlock(nn.Module):
    """y = x + conv(ReLU(conv(x))), without norms (Lim et al. 2017, EDSR). (N, C, H, W) -> the same."""

    def __init__(self, width: int):
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.relu(self.first(x), inplace=True)).add_(x)


def bicubic(x: Tensor, scale: int) -> Tensor:
    """``F.interpolate(x, scale_factor=scale, mode="bicubic")`` as two products of matrices, several times as fast.

    float32 (N, C, H, W) -> (N, C, scale·H, scale·W), also under autocast.
    """
    return add_bicubic_(x.new_zeros((*x.shape[:2], scale * x.shape[2], scale * x.shape[3])), x, scale)


def add_bicubic_(made: Tensor, x: Tensor, scale: int) -> Tensor:
    """``made += bicubic(x, scale)`` without a further map of that size; ``made`` is float32, its rows contiguous."""
    with torch.autocast(x.device.type, enabled=False):
        rows, columns = (_taps(side, scale).to(x.device) for side in x.shape[2:])
        if torch.compiler.is_exporting():  # two products are fewer nodes of a graph
            return made + rows @ x.float() @ columns.T
        tall = (rows @ x.float().contiguous()).view(-1, x.shape[3])
        wide = made.view(-1, made.shape[3])
        for start in range(0, x.shape[3], BAND):  # what is farther off than the four taps has no share
            given = slice(max(0, start - 2), start + BAND + 2)
            filled = slice(start * scale, (start + BAND) * scale)
            wide[:, filled].addmm_(tall[:, given], columns[filled, given].T)
    return made


@lru_cache(maxsize=16)
def _taps(side: int, scale: int) -> Tensor:
    """(scale·side, side): what each pixel of a line gives to each one of the longer line."""
    with torch.inference_mode(False), torch.no_grad():
        return F.interpolate(torch.eye(side)[None, None], (side * scale, side), mode="bicubic", align_corners=False)[
            0, 0
        ]


def edsr_blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(EDSRBlock(width) for _ in range(count)))


class Tail(nn.Module):
    """Features (N, width, H, W) -> what bicubic interpolation lacks, (N, 3, scale·H, scale·W)."""

    def __init__(self, width: int, fine: int, scale: int):
        super().__init__()
        self.spread = nn.Conv2d(width, 4 * fine, 3, padding=1)
        self.refine = EDSRBlock(fine)
        self.paint = nn.Conv2d(fine, 3 * (scale // 2) ** 2, 3, padding=1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.pixel_shuffle(self.spread(x), 2), inplace=True)
        return F.pixel_shuffle(self.paint(self.refine(x)), self.scale // 2)


class KaoSR(nn.Module):
    """A small U of residual blocks at the size of the input and below, one tail a scale, and a bicubic way round.

    The blocks at half and quarter size see a whole face for little. There are neither norms nor global pools, so a
    picture may be enlarged in tiles: what lies more than ``reach`` px away has no influence.
    """

    Settings: ClassVar[type[NetworkSettings]] = KaoSRSettings

    multiple = 4  # sides of the input are filled up to this by repeating the border

    def __init__(self, settings: KaoSRSettings):
        super().__init__()
        full, half, quarter = settings.widths
        self.settings = settings
        self.read = nn.Conv2d(3, full, 3, padding=1)
        self.full_before = edsr_blocks(full, settings.before[0])
        self.to_half = nn.Conv2d(full, half, 2, stride=2)
        self.half_before = edsr_blocks(half, settings.before[1])
        self.to_quarter = nn.Conv2d(half, quarter, 2, stride=2)
        self.middle = edsr_blocks(quarter, settings.middle)
        self.from_quarter = nn.Conv2d(quarter, 4 * half, 1)
        self.half_after = edsr_blocks(half, settings.after[1])
        self.from_half = nn.Conv2d(half, 4 * full, 1)
        self.full_after = edsr_blocks(full, settings.after[0])
        self.tails = nn.ModuleDict({str(scale): Tail(full, settings.fine, scale) for scale in settings.scales})
        self.init_weights()

    @property
    def reach(self) -> int:
        """How far, in px of the input, one px of it can be felt; a multiple of ``multiple``."""
        given = self.settings
        full = (
            1 + 2 * (given.before[0] + given.after[0]) + 1 + 2
        )  # reading, blocks, the tail (refined at twice the size)
        far = full + 2 * (2 * sum((given.before[1], given.after[1])) + 1) + 4 * (2 * given.middle + 1)
        return math.ceil(far / self.multiple) * self.multiple

    def init_weights(self) -> None:
        """He et al. 2015, the last layer of every residual path small (Zhang et al. 2019, Fixup): it starts as
        bicubic interpolation."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, EDSRBlock):
                    module.second.weight.mul_(0.1)
                elif isinstance(module, Tail):
                    module.paint.weight.mul_(0.01)

    def forward(self, x: Tensor, scale: int) -> Tensor:
        high, wide = x.shape[2:]
        extra = (-wide % self.multiple, -high % self.multiple)
        if any(extra):
            x = F.pad(x, (0, extra[0], 0, extra[1]), mode="replicate")
        full = self.full_before(self.read(x))
        half = self.half_before(self.to_half(full))
        quarter = self.middle(self.to_quarter(half))
        half = self.half_after(half + F.pixel_shuffle(self.from_quarter(quarter), 2))
        full = self.full_after(full + F.pixel_shuffle(self.from_half(half), 2))
        detail = self.tails[str(scale)](full).float().contiguous()
        return add_bicubic_(detail, x, scale)[..., : high * scale, : wide * scale]


class SRGANBlock(nn.Module):
    """SRGAN's residual block. (N, C, H, W) -> the same."""

    def __init__(self, width: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


class PixelShuffleBlock(nn.Module):
    """(N, C, H, W) -> (N, C, 2H, 2W)."""

    def __init__(self, width: int):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class SRGANGenerator(nn.Module):
    """GANime's generator of 807,692 parameters for ×8, its weights under the names of its files.

    It was made for images in [0, 1]; that is kept inside, so that published weights mean what they meant.
    """

    Settings: ClassVar[type[NetworkSettings]] = SRGANSettings

    multiple = 1

    def __init__(self, settings: SRGANSettings):
        super().__init__()
        width, self.settings = settings.width, settings
        self.blocks = settings.blocks
        self.conv1 = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())
        for number in range(1, settings.blocks + 1):
            self.add_module(f"residual{number}", SRGANBlock(width))
        self.conv2 = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.PReLU())
        doublings = [PixelShuffleBlock(width) for _ in range(int(math.log2(settings.scales[0])))]
        self.upsample = nn.Sequential(*doublings, nn.Conv2d(width, 3, 9, padding=4))

    @property
    def reach(self) -> int:
        return 4 + 2 * self.blocks + 1 + 2 + 4  # the doublings and the last convolution see less and less far

    def forward(self, x: Tensor, scale: int) -> Tensor:
        first = x = self.conv1((x + 1) / 2)
        for number in range(1, self.blocks + 1):
            x = self.get_submodule(f"residual{number}")(x)
        return to_image(self.upsample(first + self.conv2(x)))  # (tanh + 1) / 2 in [0, 1] is tanh in [-1, 1]


UPSCALERS: Registry[type[KaoSR | SRGANGenerator]] = Registry("upscaler family")
UPSCALERS.register("kao-sr", KaoSR)
UPSCALERS.register("srgan", SRGANGenerator)


def build(settings: NetworkSettings) -> KaoSR | SRGANGenerator:
    family: Any = UPSCALERS[settings.family]
    made: KaoSR | SRGANGenerator = family(settings)
    return made
