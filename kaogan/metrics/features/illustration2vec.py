"""Illustration2Vec (Saito & Matsui 2015) from the user's ``illust2vec_ver200.caffemodel``: layer ``encode1``, 4096-d.

Preprocessing is that of its own code: bilinear to 224 × 224 with the picture's darkest value beyond the edges, not
antialiased, RGB 0-255 turned to BGR, one mean a channel taken off.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.core.errors import KaoganError
from kaogan.core.images import Pictures
from kaogan.data.cache import fingerprint_of
from kaogan.metrics.features import NetworkExtractor, weights
from kaogan.metrics.features.caffemodel import Layer, read_layers

SIDE, LAST = 224, "encode1"
MEAN_BGR = (164.76139251, 167.47864617, 181.13838569)
PREPROCESSING = "bilinear 224, darkest value beyond the edges, BGR, mean of version 2"
DOWNLOAD = "https://github.com/rezoo/illustration2vec/releases/download/v2.0.0/illust2vec_ver200.caffemodel"
IGNORED = ("Data", "ImageData", "MemoryData", "Input", "Dropout")  # dropout does nothing outside of training


Weighted = TypeVar("Weighted", nn.Conv2d, nn.Linear)


class Illustration2Vec(NetworkExtractor):
    name, label = "illustration2vec", "Illustration2Vec"

    def __init__(self, path: Path, side: int = SIDE) -> None:
        self.side = side
        self.network = build(read_layers(path), path).eval()
        self.size = self._width(path)
        self.fingerprint = fingerprint_of(self.name, weights.file_hash(path), PREPROCESSING, LAST)

    def features(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.network(preprocess(pictures, self.side))
        return features

    def _width(self, path: Path) -> int:
        try:
            with torch.inference_mode():
                return int(self.network(torch.zeros(1, 3, self.side, self.side)).shape[1])
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise KaoganError(
                f"{path}: its layers up to {LAST} don't take {self.side} px pictures ({reason})"
            ) from error


def load(name: str, path: Path | None, download: bool) -> Illustration2Vec:
    if path is None and not download:
        raise KaoganError(
            f"the weights of {name} are not here: name the file, --features {name}=illust2vec_ver200.caffemodel, or "
            "fetch it with --download"
        )
    return Illustration2Vec(path or weights.fetch(DOWNLOAD, name))


def preprocess(pictures: Pictures | Tensor, side: int = SIDE) -> Tensor:
    """uint8 (N, H, W, C) -> float32 (N, 3, S, S), BGR about the mean.

    scikit-image's ``resize`` with order 1 and mode "constant", applied to each picture's range moved to 0..1 and back:
    beyond the edges is 0 there, which is the picture's darkest value here.
    """
    images = torch.as_tensor(np.ascontiguousarray(pictures) if isinstance(pictures, np.ndarray) else pictures)
    images = images.permute(0, 3, 1, 2).float()
    images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
    darkest = images.amin((1, 2, 3), keepdim=True)
    centres = (torch.arange(side, dtype=torch.float32, device=images.device) * 2 + 1) / side - 1
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1).expand(len(images), -1, -1, -1)
    scaled = F.grid_sample(images - darkest, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + darkest
    return scaled.flip(1) - torch.tensor(MEAN_BGR, device=images.device).view(1, 3, 1, 1)


def build(layers: list[Layer], path: Path, last: str = LAST) -> nn.Sequential:
    """The chain of layers from the picture up to ``last``. Raises KaoganError with the layer that does not fit."""
    if last not in [layer.name for layer in layers]:
        names = ", ".join(layer.name for layer in layers if layer.blobs)[:200]
        raise KaoganError(f"{path} has no layer {last} (it has {names}); the feature model is needed, ver200")
    modules: list[nn.Module] = []
    here: str | None = None
    for layer in layers:
        if layer.type in IGNORED and layer.type != "Dropout":
            continue
        if here is not None and layer.bottoms and here not in layer.bottoms:
            raise KaoganError(f"{path}: layer {layer.name} does not follow on {here}; only plain chains can be read")
        try:
            modules += _modules(layer)
        except (ValueError, IndexError, RuntimeError) as error:
            raise KaoganError(f"{path}: layer {layer.name} ({layer.type}) cannot be read: {error}") from error
        here = layer.tops[0] if layer.tops else here
        if layer.name == last:
            break
    return nn.Sequential(*modules)


def _modules(layer: Layer) -> list[nn.Module]:
    if layer.type == "Convolution":
        return [_convolution(layer)]
    if layer.type == "InnerProduct":
        return [nn.Flatten(), _linear(layer)]
    if layer.type == "ReLU":
        return [nn.LeakyReLU(layer.slope) if layer.slope else nn.ReLU()]
    if layer.type == "Pooling":
        kernel, stride, pad = layer.setting(2, 1), layer.setting(3, 1), layer.setting(4, 0)
        if layer.setting(1, 0) != 0:
            raise ValueError("only max pooling is known")
        if not 0 < kernel <= 64 or not 0 < stride <= 64 or pad > kernel // 2:
            raise ValueError(f"kernel {kernel}, stride {stride}, pad {pad}")
        return [nn.MaxPool2d(kernel, stride, pad, ceil_mode=True)]
    if layer.type == "Dropout":
        return []
    raise ValueError("this type of layer is not known")


def _convolution(layer: Layer) -> nn.Conv2d:
    weight, *bias = layer.blobs
    outs, ins, height, width = weight.shape
    group, stride = layer.setting(5, 1), layer.setting(6, 1)
    pad = (layer.setting(9, layer.setting(3, 0)), layer.setting(10, layer.setting(3, 0)))
    if not 0 < group <= outs or not 0 < stride <= 64 or max(pad) > 64 or layer.setting(18, 1) != 1:
        raise ValueError(f"group {group}, stride {stride}, pad {pad}")
    module = nn.Conv2d(ins * group, outs, (height, width), stride, pad, groups=group, bias=bool(bias))
    return _filled(module, weight, bias)


def _linear(layer: Layer) -> nn.Linear:
    weight, *bias = layer.blobs
    weight = weight.reshape(-1, int(weight.shape[-1]))  # the old layout has two dimensions of 1 before
    return _filled(nn.Linear(weight.shape[1], weight.shape[0], bias=bool(bias)), weight, bias)


def _filled(module: Weighted, weight: np.ndarray, bias: list[np.ndarray]) -> Weighted:
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weight.copy()))
        if bias and module.bias is not None:
            module.bias.copy_(torch.from_numpy(bias[0].reshape(-1).copy()))
    return module.requires_grad_(False)
