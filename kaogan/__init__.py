"""kaogan: from a folder of pictures to a trained, measured, shareable generator of anime faces.

import kaogan

model = kaogan.train("acgan", data="faces/", images=150_000)
model = kaogan.load("runs/acgan")
pictures = model.sample(64, hair="pink", seed=0)     # uint8 (64, H, W, 3)
large = kaogan.load("kao-sr").upscale(pictures, scale=8)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kaogan.core.errors import KaoganError, UsageError
from kaogan.version import __version__

if TYPE_CHECKING:
    from kaogan.api import adapt, load, load_data, train
    from kaogan.generate.model import Model
    from kaogan.networks import list_networks
    from kaogan.plugins import (
        load_plugins,
        register_extra,
        register_format,
        register_metric,
        register_network,
        register_objective,
    )

__all__ = [
    "KaoganError",
    "Model",
    "UsageError",
    "__version__",
    "adapt",
    "list_networks",
    "load",
    "load_data",
    "load_plugins",
    "register_extra",
    "register_format",
    "register_metric",
    "register_network",
    "register_objective",
    "train",
]

# Imported on first use, so that "kaogan --help" does not wait for torch.
_HOMES = {
    "kaogan.api": ("adapt", "load", "load_data", "train"),
    "kaogan.generate.model": ("Model",),
    "kaogan.networks": ("list_networks",),
    "kaogan.plugins": (
        "load_plugins",
        "register_extra",
        "register_format",
        "register_metric",
        "register_network",
        "register_objective",
    ),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'kaogan' has no attribute '{name}'")
