"""The eye judge: one linear layer on MobileNetV2's view of both eyes, learnt from faces that blind counters looked at.

It ranks the faces of one generator, so that the worst can be left out. It is no measure of a model: of real faces it
doubts those that look away or squint (weights.md has the figures).
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from kaogan.core.device import exact, to_device
from kaogan.core.errors import KaoganError
from kaogan.core.images import Pictures, to_float
from kaogan.core.weights_file import check_shipped
from kaogan.networks.feature_networks import FeatureNetwork, FeatureNetworkSettings, build_feature_networks

WEIGHTS = Path(str(files("kaogan.aux_models.eye_judge"))) / "weights.safetensors"
WEIGHTS_SHA256 = "a853989bb1e00febfbbec337861afc5e2c5ed395796e3655ac074c3001c95d18"
TOP, BOTTOM, LEFT, RIGHT = 22, 54, 8, 56  # of both eyes in a face of 64 px, with room for where they may lie
SHOWN = (64, 96)  # px to which that is enlarged
TAP = 13  # MobileNetV2's last map that kaogan has
CPU = torch.device("cpu")


class EyeJudge:
    """Faces uint8 (N, S, S, 1 or 3) -> float32 (N,): about 0 where the eyes match beyond doubt, 1 in doubt, 2 broken.

    For drawn faces cut out as ``kaogan prepare`` does. Raises KaoganError for damaged weights.
    """

    def __init__(self, device: torch.device = CPU) -> None:
        self.device = device
        (network,) = build_feature_networks([FeatureNetworkSettings(name="mobilenet_v2", taps=(TAP,))], learn=False)
        self.network: FeatureNetwork = network.eval().to(device)
        self.weight, self.bias = (each.to(device) for each in _weights())

    @torch.inference_mode()
    def __call__(self, pictures: Pictures) -> np.ndarray:
        images = to_float(to_device(torch.from_numpy(np.ascontiguousarray(pictures)), self.device))
        with exact(self.device):
            scores = eye_features(self.network, images) @ self.weight + self.bias
        return scores.cpu().numpy()


def eye_features(network: FeatureNetwork, images: Tensor) -> Tensor:
    """Images (N, 1 or 3, S, S) in [-1, 1] -> what MobileNetV2 makes of their eyes, float32 (N, 2304)."""
    images = network.resize(images)  # to 64 px, the network's own size
    eyes = images[:, :, TOP:BOTTOM, LEFT:RIGHT]
    (last,) = network(F.interpolate(eyes, SHOWN, mode="bilinear", align_corners=False))
    return last.float().flatten(1)


def _weights() -> tuple[Tensor, Tensor]:
    """(2304,) and (), float32."""
    try:
        check_shipped(WEIGHTS, WEIGHTS_SHA256)
        tensors = load_file(WEIGHTS)
        return tensors["weight"].float(), tensors["bias"].float()
    except (OSError, SafetensorError, KeyError) as error:
        raise KaoganError(f"{WEIGHTS} is damaged ({error}); install kaogan again") from error
