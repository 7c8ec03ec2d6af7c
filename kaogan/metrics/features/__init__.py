"""Feature extractors: uint8 pictures in, float32 vectors out, with a name and a fingerprint.

``load_extractor("tagger")`` and the others of ``NAMES``. A word may name a file of weights:
``dinov2=weights.safetensors``. Nothing is fetched from a network unless ``download=True``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.core.device import choose_device, exact, to_device
from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.core.images import Pictures

BATCH = 64


class Extractor(Protocol):
    name: str
    """The word that loads it."""
    label: str
    """What it adds to a metric's name: FD-tagger."""
    size: int
    """D, the numbers of a feature vector."""
    fingerprint: str
    """Hex; changes with the weights and with the preprocessing."""
    attributes: Mapping[str, Sequence[str]]
    """The values of each attribute that it sees besides its features; of most extractors empty."""

    def __call__(self, pictures: Pictures) -> np.ndarray:
        """uint8 (N, H, W, C) of any size, C = 1 or 3 -> float32 (N, D); no picture depends on its neighbours."""
        ...

    def features_and_attributes(self, pictures: Pictures) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """The features, and probabilities (N, V) of each of ``attributes``; only of extractors that have some."""
        ...


class FeaturesOnly:
    """Base of extractors that see no attributes."""

    attributes: Mapping[str, Sequence[str]] = {}

    def __call__(self, pictures: Pictures) -> np.ndarray:
        raise NotImplementedError

    def features_and_attributes(self, pictures: Pictures) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        return self(pictures), {}


class NetworkExtractor(FeaturesOnly):
    """Base of extractors that are one network, on any device, in float32."""

    network: nn.Module
    device = torch.device("cpu")

    def to(self, device: torch.device) -> Self:
        self.network.to(device)
        self.device = device
        return self

    def __call__(self, pictures: Pictures) -> np.ndarray:
        with torch.inference_mode(), exact(self.device):
            shown = to_device(torch.from_numpy(np.ascontiguousarray(pictures)), self.device)
            return self.features(shown).float().cpu().numpy()

    def features(self, pictures: Tensor) -> Tensor:
        """uint8 (N, H, W, C) -> (N, D), where the network lies."""
        raise NotImplementedError


NAMES = {
    "efficientnet": "efficientnet",
    "tagger": "tagger",
    "mobilenet": "mobilenet",
    "illustration2vec": "illustration2vec",
    "inception": "hub",
    "dinov2": "hub",
    "clip": "hub",
    "wd-tagger": "hub",
}


def load_extractor(word: str, *, download: bool = False, device: str = "cpu") -> Extractor:
    """``NAME`` or ``NAME=FILE``, on ``device`` ("auto": that of ``choose_device``). Raises UsageError for an unknown
    name, KaoganError when its weights are not here."""
    name, _, file = word.partition("=")
    if name not in NAMES:
        raise UsageError(f"unknown features '{name}'{nearest(name, NAMES)}")
    home = importlib.import_module(f"kaogan.metrics.features.{NAMES[name]}")
    loaded: Extractor = home.load(name, Path(file).expanduser() if file else None, download).to(choose_device(device))
    return loaded


def checked_batch(extractor: Extractor, pictures: Pictures) -> np.ndarray:
    features = np.asarray(extractor(pictures), np.float32)
    if features.shape != (len(pictures), extractor.size):
        raise KaoganError(
            f"the extractor {extractor.name} gave {features.shape} numbers for {len(pictures)} pictures, "
            f"not {(len(pictures), extractor.size)}: its weights are of another network"
        )
    return features


def resized(pictures: Pictures | Tensor, size: int) -> Tensor:
    """uint8 (N, H, W, C) -> float32 (N, 3, S, S) in [0, 1]: bicubic, antialiased where it shrinks, grey repeated.

    The same to 0.003 of a grey level as the resize of clean-fid (Parmar et al. 2022); not rounded in between.
    """
    images = torch.as_tensor(np.ascontiguousarray(pictures) if isinstance(pictures, np.ndarray) else pictures)
    images = images.permute(0, 3, 1, 2).float()
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    if images.shape[2:] != (size, size):
        images = F.interpolate(images, (size, size), mode="bicubic", antialias=True, align_corners=False)
        images = images.clamp_(0, 255)
    return images / 255
