"""EfficientNet-Lite0 trained on ImageNet (Tan & Le 2019): the default extractor, against which nothing is trained.

The weights lie beside this file, with their card and licence. They are stored with batch normalisation folded into the
convolutions, in half precision, without the classifier.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.core.weights_file import check_shipped
from kaogan.data.cache import fingerprint_of
from kaogan.metrics.features import NetworkExtractor, resized, weights

WEIGHTS = Path(__file__).parent / "efficientnet_lite0" / "weights.safetensors"
WEIGHTS_SHA256 = "82ed7ef873d0e7826408e9d2bb974879c211852138bf0235d4737e76f1aac4c7"
SIZE = 1280
SMALL, LARGE = 128, 224  # px that pictures of up to 128 px, and larger ones, are read at
CENTRE, SCALE = 127.0, 128.0  # of the grey levels 0 to 255
PREPROCESSING = "bicubic antialiased 128 or 224, (x - 127) / 128, pooled last map"
# (expansion, channels, blocks, stride of the first, kernel): table 1 of the paper; Lite0 has ReLU6 and no squeezing.
STAGES = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip


class _Convolution(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding: with stride 2, an even side gets more zeros at its end."""

    def __init__(self, ins: int, outs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(ins, outs, kernel, stride, 0 if stride == 2 else kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 2:
            few = (self.kernel_size[0] - 2) // 2
            x = F.pad(x, (few, self.kernel_size[0] - 2 - few) * 2)
        return super().forward(x)


class _Bottleneck(nn.Module):
    def __init__(self, ins: int, outs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = ins * expansion
        self.adds = stride == 1 and ins == outs
        self.expand = _Convolution(ins, wide, 1) if expansion > 1 else None
        self.depthwise = _Convolution(wide, wide, kernel, stride, wide)
        self.project = _Convolution(wide, outs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """Images (N, 3, H, W) in (-1, 1), H and W multiples of 32 -> features (N, 1280), before the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, 32, 3, 2)
        blocks, channels = [], 32
        for expansion, outs, count, stride, kernel in STAGES:
            for number in range(count):
                blocks.append(_Bottleneck(channels, outs, kernel, 1 if number else stride, expansion))
                channels = outs
        self.blocks = nn.Sequential(*blocks)
        self.head = _Convolution(channels, SIZE, 1)

    def forward(self, images: Tensor) -> Tensor:
        return F.relu6(self.head(self.blocks(F.relu6(self.stem(images), inplace=True))), inplace=True).mean((2, 3))


class EfficientNetExtractor(NetworkExtractor):
    name, label, size = "efficientnet", "EfficientNet", SIZE

    def __init__(self, path: Path) -> None:
        network = EfficientNetLite0()
        if path == WEIGHTS:
            check_shipped(path, WEIGHTS_SHA256)
        state = {name: value.float() for name, value in weights.read_state(path).items()}
        weights.put(network, state, path, "kaogan's EfficientNet-Lite0")
        self.fingerprint = fingerprint_of(self.name, weights.file_hash(path), PREPROCESSING)
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def features(self, pictures: Tensor) -> Tensor:
        # Read at 128 px, small faces are told apart as well as at ImageNet's 224, in a third of the time.
        side = SMALL if max(pictures.shape[1:3]) <= SMALL else LARGE
        images = (resized(pictures, side) * 255 - CENTRE) / SCALE
        features: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
        return features


def load(name: str, path: Path | None, download: bool) -> EfficientNetExtractor:
    return EfficientNetExtractor(path or WEIGHTS)
