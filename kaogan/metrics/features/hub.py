"""Extractors whose weights come from elsewhere: the Inception of FID, DINOv2, CLIP and the WD tagger of anime pictures.

Each needs a library of the extra ``kaogan[features]``, and its weights from a local file or, only when asked for, from
their publisher.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from kaogan.core.errors import KaoganError
from kaogan.data.cache import fingerprint_of
from kaogan.metrics.features import NetworkExtractor, resized, weights


@dataclass(frozen=True)
class Published:
    """A network of timm: where its weights are and how it wants its pictures."""

    label: str
    model: str
    source: str
    megabytes: int
    settings: dict[str, Any]
    """Of the network; ``img_size`` is the side of the pictures that it gets."""
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    bgr: bool = False


PUBLISHED = {
    "dinov2": Published(
        "DINOv2",
        "vit_base_patch14_dinov2.lvd142m",
        "timm/vit_base_patch14_dinov2.lvd142m",
        346,
        {"img_size": 224},
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    ),
    "clip": Published(
        "CLIP",
        "vit_base_patch16_clip_224.openai",
        "timm/vit_base_patch16_clip_224.openai",
        344,
        {"img_size": 224, "act_layer": "quick_gelu"},  # OpenAI's weights were trained with x·sigmoid(1.702 x)
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    ),
    "wd-tagger": Published(
        "WD-tagger",
        "vit_base_patch16_224",
        "SmilingWolf/wd-vit-tagger-v3",
        378,
        {"img_size": 448, "class_token": False, "global_pool": "avg", "fc_norm": False, "act_layer": "gelu_tanh"},
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
        bgr=True,
    ),
}


def load(name: str, path: Path | None, download: bool) -> Any:
    if name == "inception":
        return Inception(path, download)
    return Transformer(name, PUBLISHED[name], path, download)


def _library(module: str, package: str, name: str) -> ModuleType:
    try:
        return __import__(module, fromlist=["_"])
    except ImportError as error:
        raise KaoganError(f"the features {name} need {package} ({error}): pip install 'kaogan[features]'") from None


class Inception(NetworkExtractor):
    """TensorFlow's Inception of 2015 as torch-fidelity keeps it, with its resize: metrics on it are the real FID."""

    name, label, size = "inception", "Inception", 2048

    def __init__(self, path: Path | None, download: bool, make: Callable[..., nn.Module] | None = None) -> None:
        library = _library("torch_fidelity.feature_extractor_inceptionv3", "torch-fidelity", "inception")
        if path is None:
            if not download:
                raise KaoganError(
                    "the weights of inception are not here: name torch-fidelity's file, --features inception=FILE, or "
                    "fetch it (91 MB) with --download"
                )
            path = weights.fetch(library.URL_INCEPTION_V3, "inception")
        state = weights.read_state(path)
        # torch-fidelity unpickles whatever it is given; it is given a copy of what was read without executing anything.
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "inception.pth"
            torch.save(state, copy)
            make = make or library.FeatureExtractorInceptionV3
            try:
                self.network = make("inception", ["2048"], feature_extractor_weights_path=str(copy)).eval()
            except (RuntimeError, KeyError) as error:
                reason = " ".join(str(error).split())[:160]
                raise KaoganError(
                    f"{path} is not torch-fidelity's Inception ({reason}; {weights.hash_note(path)})"
                ) from error
        self.fingerprint = fingerprint_of(self.name, weights.file_hash(path), "torch-fidelity's resize to 299")

    def features(self, pictures: Tensor) -> Tensor:
        images = pictures.permute(0, 3, 1, 2)
        images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        features: Tensor = self.network(images.contiguous())[0]
        return features


class Transformer(NetworkExtractor):
    """A vision transformer of timm: its pooled features, before any classifier."""

    def __init__(self, name: str, published: Published, path: Path | None, download: bool) -> None:
        timm = _library("timm", "timm", name)
        self.name, self.label, self.published = name, published.label, published
        if path is None:
            path = self._fetched() if download else None
        if path is None:
            raise KaoganError(
                f"the weights of {name} are not here: name the file, --features {name}=FILE.safetensors, or fetch "
                f"{published.source} ({published.megabytes} MB) from the Hugging Face hub with --download"
            )
        state = weights.read_state(path)
        network = timm.create_model(published.model, num_classes=0, **published.settings).eval()
        self.network = network
        self.side, self.size = int(published.settings["img_size"]), int(network.num_features)
        # Foreign names turned to timm's, position embeddings interpolated to the side that is used.
        state = timm.models.vision_transformer.checkpoint_filter_fn(state, self.network)
        weights.put(self.network, state, path, published.source)
        self.fingerprint = fingerprint_of(name, weights.file_hash(path), "bicubic antialiased", published.settings)
        self._mean = torch.tensor(published.mean).view(1, 3, 1, 1)
        self._deviation = torch.tensor(published.deviation).view(1, 3, 1, 1)

    def features(self, pictures: Tensor) -> Tensor:
        images = resized(pictures, self.side)
        images = (images - self._mean.to(images.device)) / self._deviation.to(images.device)
        features: Tensor = self.network(images.flip(1) if self.published.bgr else images)
        return features

    def _fetched(self) -> Path:
        hub = _library("huggingface_hub", "huggingface_hub", self.name)
        try:
            return Path(hub.hf_hub_download(self.published.source, "model.safetensors"))
        except Exception as error:  # that library raises errors of several HTTP clients
            raise KaoganError(
                f"the weights of {self.name} could not be fetched from the Hugging Face hub "
                f"({' '.join(str(error).split())[:160]}); fetch {self.published.source} elsewhere and name the file"
            ) from error
