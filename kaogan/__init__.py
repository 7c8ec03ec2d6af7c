"""kaogan: from a folder of pictures to a trained, measured, shareable generator of anime faces.

import kaogan

model = kaogan.train("acgan", data="faces/", images=150_000)
model = kaogan.load("runs/acgan")
pictures = model.sample(64, hair="pink", seed=0)     # uint8 (64, H, W, 3)
large = kaogan.load("kao-sr").upscale(pictures, scale=8)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.lazy_names import lazy_names
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

# So that "kaogan --help" does not wait for torch.
__getattr__ = lazy_names(__name__, {
    ".api": ("adapt", "load", "load_data", "train"), ".generate.model": ("Model",), ".networks": ("list_networks",),
    ".plugins": ("load_plugins", *(name for name in __all__ if name.startswith("register_"))),
})  # fmt: skip
