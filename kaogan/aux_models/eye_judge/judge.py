"""The eye judge: how likely it is that the two eyes of a drawn face do not match, learnt from what counters said.

It ranks the faces of one generator, so that the worst can be left out. It is no measure of a model: real faces, which
turn and squint in more ways than a generator's, it doubts more often than those who counted (weights.md has the
figures).
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file

from kaogan.aux_models.eye_judge.network import SIDE, EyePairNetwork
from kaogan.core.device import exact, to_device
from kaogan.core.errors import KaoganError
from kaogan.core.images import Pictures, to_float
from kaogan.core.weights_file import check_shipped

WEIGHTS = Path(str(files("kaogan.aux_models.eye_judge"))) / "weights.safetensors"
WEIGHTS_SHA256 = "5e0629d33055a86f87f3ba990654dd64a3e48279f247f7e073d6c70e6152aa09"
CPU = torch.device("cpu")


class EyeJudge:
    """Faces uint8 (N, S, S, 1 or 3) -> float32 (N,), 0 to 1: the chance that two counters would not call the eyes a
    matching pair. A face and its mirror image get the same.

    For drawn faces cut out as ``kaogan prepare`` does. Raises KaoganError for damaged weights.
    """

    def __init__(self, device: torch.device = CPU) -> None:
        self.device = device
        self.network = _network().to(device)

    @torch.inference_mode()
    def __call__(self, pictures: Pictures) -> np.ndarray:
        faces = to_float(to_device(torch.from_numpy(np.ascontiguousarray(pictures)), self.device))
        if faces.shape[-2:] != (SIDE, SIDE):
            faces = F.interpolate(faces, (SIDE, SIDE), mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
        faces = faces.expand(-1, 3, -1, -1)
        with exact(self.device):
            odds = self.network(faces) + self.network(faces.flip(3))
        return (odds / 2).sigmoid().cpu().numpy()


def _network() -> EyePairNetwork:
    network = EyePairNetwork()
    try:
        check_shipped(WEIGHTS, WEIGHTS_SHA256)
        network.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise KaoganError(f"{WEIGHTS} is damaged ({error}); install kaogan again") from error
    return network.eval()
