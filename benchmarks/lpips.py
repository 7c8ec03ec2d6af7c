"""LPIPS (Zhang et al. 2018), for those who have it: its package, and AlexNet's weights where torchvision keeps them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

LPIPSDistance = Callable[[Tensor, Tensor], Tensor]  # (N, 3, H, W) twice, in [-1, 1] -> (N,)


def find_lpips() -> LPIPSDistance | None:
    """LPIPS with AlexNet, or None where ``lpips`` or the weights are absent. Nothing is ever downloaded."""
    if find_spec("lpips") is None or find_spec("torchvision") is None:
        return None
    from torchvision.models import AlexNet_Weights

    if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(AlexNet_Weights.IMAGENET1K_V1.url).name).is_file():
        return None
    import lpips

    network = lpips.LPIPS(net="alex", verbose=False).eval()

    @torch.inference_mode()
    def distance(made: Tensor, wanted: Tensor) -> Tensor:
        return network(made, wanted).flatten()

    return distance
