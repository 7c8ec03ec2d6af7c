"""The trained tagger: from pictures to calibrated tags and features."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kaogan.aux_models.tagger import preprocessing
from kaogan.aux_models.tagger.network import Architecture, TaggerNetwork
from kaogan.core.atomic_io import atomic, explain
from kaogan.core.device import exact
from kaogan.core.errors import KaoganError
from kaogan.core.images import Pictures

FORMAT = 1
MAX_BYTES = 64 * 2**20  # of a weights file; the shipped one has less than 3 MB
BATCH = 128  # pictures at a time: more is no faster on a CPU


@dataclass(frozen=True)
class Prediction:
    """What the tagger says of N pictures. Probabilities of an attribute's V values sum to 1."""

    probabilities: dict[str, np.ndarray]  # float32 (N, V), calibrated
    face: np.ndarray  # float32 (N,) in [0, 1]: is this an anime face?
    quality: np.ndarray  # float32 (N,) in [0, 1]: 1 is a whole face, 0 a broken one
    features: np.ndarray  # float32 (N, D)

    def __len__(self) -> int:
        return len(self.face)

    def best(self, attribute: str) -> tuple[np.ndarray, np.ndarray]:
        """(positions of the likeliest values int64 (N,), their confidences float32 (N,))."""
        probabilities = self.probabilities[attribute]
        return probabilities.argmax(1), probabilities.max(1)


class Tagger:
    """A folded network with what its outputs mean. ``temperatures`` divide the logits of each attribute."""

    def __init__(
        self,
        network: TaggerNetwork,
        values: Mapping[str, tuple[str, ...]],
        temperatures: Mapping[str, float],
        fingerprint: str,
    ) -> None:
        self.network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.values, self.temperatures, self.fingerprint = dict(values), dict(temperatures), fingerprint
        self.device = torch.device("cpu")

    def to(self, device: torch.device) -> Tagger:
        """Move the network there; what ``predict`` gives stays on the host."""
        self.network.to(device)
        self.device = device
        return self

    @property
    def feature_size(self) -> int:
        return self.network.architecture.features

    def predict(self, pictures: Pictures) -> Prediction:
        """Pictures uint8 (N, H, W, 3) of any size -> Prediction. What is said of one does not depend on the others.

        The centre square is taken and resized to 64 px. Raises UsageError for arrays of another kind.
        """
        small = preprocessing.shrink(pictures)
        parts = [self._predict(small[start : start + BATCH]) for start in range(0, len(small), BATCH)]
        parts = parts or [self._nothing]
        outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Prediction(
            {name: outputs[name] for name in self.values}, outputs["face"], outputs["quality"], outputs["features"]
        )

    @torch.inference_mode()
    def _predict(self, pictures: Pictures) -> dict[str, np.ndarray]:
        images = preprocessing.to_images(pictures)
        with exact(self.device):
            features, logits = self.network(images.to(self.device))
        outputs = {name: (logits[name] / self.temperatures[name]).softmax(1) for name in self.values}
        outputs |= {name: logits[name][:, 0].sigmoid() for name in ("face", "quality")}
        return {name: value.cpu().numpy() for name, value in (outputs | {"features": features}).items()}

    @property
    def _nothing(self) -> dict[str, np.ndarray]:
        sizes: dict[str, Any] = {name: (0, len(values)) for name, values in self.values.items()}
        sizes |= {"face": (0,), "quality": (0,), "features": (0, self.feature_size)}
        return {name: np.empty(size, np.float32) for name, size in sizes.items()}


def load_tagger(path: str | os.PathLike[str] | None = None) -> Tagger:
    """The tagger inside the package, or one that ``python -m tools.tagger`` wrote.

    Raises KaoganError (what is wrong with the file) when it is no tagger, damaged, altered or of a newer kaogan.
    """
    where = (
        Path(os.fspath(path))
        if path is not None
        else Path(str(files("kaogan.aux_models.tagger") / "weights" / "tagger.safetensors"))
    )
    header, tensors = _read(where)
    try:
        if int(header["format"]) > FORMAT:
            raise KaoganError(f"{where} is a tagger of a newer kaogan; upgrade kaogan to use it")
        architecture = Architecture.from_json(json.loads(header["architecture"]))
        values = {str(name): tuple(map(str, names)) for name, names in json.loads(header["values"]).items()}
        temperatures = {str(name): float(t) for name, t in json.loads(header["temperatures"]).items()}
        digest = header["sha256"]
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise KaoganError(f"{where} is not a whole tagger ({type(error).__name__}: {error})") from None
    if _digest(tensors, header) != digest:
        raise KaoganError(f"{where} was altered after it was written: its checksum does not match")
    network = TaggerNetwork(architecture, folded=True)
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except RuntimeError:
        raise KaoganError(f"{where} holds weights of another network than it says") from None
    return Tagger(network, values, temperatures, _fingerprint(digest))


def save_tagger(
    path: str | os.PathLike[str],
    network: TaggerNetwork,
    values: Mapping[str, tuple[str, ...]],
    temperatures: Mapping[str, float],
) -> None:
    """Write a folded network as one safetensors file, its weights rounded to half precision."""
    tensors = {name: value.detach().half().contiguous() for name, value in network.state_dict().items()}
    header = {
        "kaogan-tagger": "1",
        "format": str(FORMAT),
        "architecture": json.dumps(network.architecture.to_json()),
        "values": json.dumps({name: list(v) for name, v in values.items()}),
        "temperatures": json.dumps(dict(temperatures)),
    }
    header["sha256"] = _digest(tensors, header)
    with atomic(path) as temporary:
        save_file(tensors, temporary, header)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise KaoganError(f"{path} is not a tagger: larger than {MAX_BYTES // 2**20} MB")
        with safe_open(path, "pt") as opened:
            header = opened.metadata() or {}
            if "kaogan-tagger" not in header:
                raise KaoganError(f"{path} is not a tagger; give a file that 'python -m tools.tagger' wrote")
            return header, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise KaoganError(f"{path} is damaged or not a safetensors file ({' '.join(str(error).split())})") from None
    except OSError as error:
        raise explain(error, path) from None


def _digest(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for key in ("format", "architecture", "values", "temperatures"):
        digest.update(f"{key}={header.get(key)};".encode())
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _fingerprint(digest: str) -> str:
    """32 hex digits of the weights and of the way a picture is prepared for them."""
    return hashlib.sha256(f"{digest}/{preprocessing.NAME}".encode()).hexdigest()[:32]
