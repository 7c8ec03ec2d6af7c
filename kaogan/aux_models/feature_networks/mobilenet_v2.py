"""The first 14 layers of MobileNetV2 as a feature network (Sandler et al. 2018), trained on ImageNet by torchvision.

The weights travel with kaogan (weights/mobilenet_v2.md says where they come from and under which licence); batch norms
are folded into the convolutions.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from kaogan.core.errors import KaoganError
from kaogan.core.weights_file import check_shipped
from kaogan.networks.feature_networks import FeatureNetwork, check_taps
from kaogan.networks.registry import FEATURE_NETWORKS

WEIGHTS = Path(str(files("kaogan.aux_models.feature_networks"))) / "weights" / "mobilenet_v2.safetensors"
WEIGHTS_SHA256 = "249501ab064f158151bab7896c5f023958559932d9316908095a8a1ec797dc81"
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for pictures in [0, 1]
# (expansion, channels, blocks, stride of the first): the first rows of the paper's table 2.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
LAYERS = 1 + sum(blocks for _, _, blocks, _ in STAGES)


class Stem(nn.Module):
    """The first layer: a convolution that halves the side. (N, 3, H, W) -> (N, 32, H/2, W/2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(self.conv(x))


class InvertedResidual(nn.Module):
    """1×1 that widens, 3×3 of each channel alone, 1×1 that narrows; added to its input where the shapes agree."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        self.adds = stride == 1 and before == after
        self.expand = nn.Conv2d(before, wide, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(wide, wide, 3, stride, 1, groups=wide)
        self.project = nn.Conv2d(wide, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self._depthwise(y)))
        return x + y if self.adds else y

    def _depthwise(self, x: Tensor) -> Tensor:
        layer = self.depthwise
        if x.device.type == "cpu" and x.dtype == torch.bfloat16 and layer.stride == (2, 2):
            out: Tensor = StridedDepthwise.apply(x, layer.weight, layer.bias)
            return out
        return layer(x)


class StridedDepthwise(torch.autograd.Function):
    """The 3×3 convolution of each channel alone, at every second pixel, of bfloat16 maps on a CPU, with fixed weights:
    PyTorch's derivative takes ten times as long in bfloat16 as in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape = x.shape
        with torch.autocast("cpu", enabled=False):
            return F.conv2d(x, weight.to(x.dtype), bias.to(x.dtype), 2, 1, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        with torch.autocast("cpu", enabled=False):
            wide = conv2d_input(ctx.shape, weight, grad.float(), 2, 1, groups=len(weight))
        return wide.to(grad.dtype), None, None


class MobileNetV2Features(FeatureNetwork):
    """Maps of 24, 32 and 96 channels at 1/4, 1/8 and 1/16 of the pictures' side, unless other taps are asked for."""

    default_size, default_taps = 64, (3, 6, 13)
    extractor = "mobilenet"
    mean: Tensor
    deviation: Tensor

    def __init__(self, size: int, taps: tuple[int, ...], learns: bool = False) -> None:
        super().__init__(size, taps, learns)
        check_taps("mobilenet_v2", taps, LAYERS)
        layers, channels, sides = build_layers(size)
        layers.load_state_dict(_weights())
        self.layers = layers[: taps[-1] + 1].requires_grad_(False)
        self.channels = tuple(channels[tap] for tap in taps)
        self.sides = tuple(sides[tap] for tap in taps)
        for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        x = ((images + 1) / 2 - self.mean) / self.deviation
        x = x.contiguous(memory_format=torch.channels_last)
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return [maps[tap] for tap in self.taps]


def build_layers(size: int = 64) -> tuple[nn.Sequential, list[int], list[int]]:
    """(the layers with fresh weights, their channels, the sides of their maps for pictures of ``size`` px)."""
    channels, sides = [32], [-(-size // 2)]
    layers: list[nn.Module] = [Stem(32)]
    for expansion, after, blocks, stride in STAGES:
        for number in range(blocks):
            step = 1 if number else stride
            layers.append(InvertedResidual(channels[-1], after, step, expansion))
            channels.append(after)
            sides.append(-(-sides[-1] // step))
    return nn.Sequential(*layers), channels, sides


def _weights() -> dict[str, Tensor]:
    try:
        check_shipped(WEIGHTS, WEIGHTS_SHA256)
        return load_file(WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise KaoganError(f"{WEIGHTS} is missing or damaged ({error}); install kaogan again") from None


FEATURE_NETWORKS.register("mobilenet_v2", MobileNetV2Features)
