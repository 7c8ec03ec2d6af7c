"""The eye classifier with its threshold: does a face have two matching eyes? No weights are shipped yet."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError
from kaogan.core.images import Pictures
from tools.eye_classifier.network import SIDE, EyeClassifier

WEIGHTS = Path(__file__).parent / "weights.safetensors"


class EyeClassifierModel:
    """The network with its threshold."""

    def __init__(self, network: EyeClassifier, threshold: float, fingerprint: str) -> None:
        self.network, self.threshold, self.fingerprint = network.eval().requires_grad_(False), threshold, fingerprint

    @torch.inference_mode()
    def scores(self, pictures: Pictures) -> np.ndarray:
        """uint8 (N, H, W, C) of any size, C = 1 or 3 -> logits float32 (N,), higher for better eyes."""
        images = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float()
        images = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
        if images.shape[2:] != (SIDE, SIDE):
            images = F.interpolate(images, (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False)
        return self.network(images.clamp(0, 255) / 127.5 - 1).numpy()

    def passing(self, pictures: Pictures) -> np.ndarray:
        """bool (N,): whether each face has two matching eyes."""
        return self.scores(pictures) >= self.threshold


def load_eye_classifier(path: Path = WEIGHTS) -> EyeClassifierModel:
    """Kaogan's weights, or those of ``tools/eye_classifier/train.py`` in another file. Raises KaoganError."""
    try:
        content = path.read_bytes()
        with safe_open(path, "pt") as opened:
            state = {name: opened.get_tensor(name).float() for name in opened.keys()}  # noqa: SIM118 - not a dict
            threshold = float((opened.metadata() or {})["threshold"])
        network = EyeClassifier()
        network.load_state_dict({**network.state_dict(), **state})
    except OSError as error:
        raise explain(error, path) from error
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise KaoganError(f"{path} is not the weights of an eye classifier ({reason})") from error
    return EyeClassifierModel(network, threshold, hashlib.sha256(content).hexdigest())
