"""kaogan: from a folder of pictures to a trained, measured, shareable generator of anime faces.

import kaogan

model = kaogan.train("acgan", data="faces/", images=150_000)
model = kaogan.load("runs/acgan")
pictures = model.sample(64, hair="pink", seed=0)     # uint8 (64, H, W, 3)
large = kaogan.load("kao-sr").upscale(pictures, scale=8)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kaogan.core.errors import KaoganError, UsageError
from kaogan.version import __version__

if TYPE_CHECKING:
    from kaogan.api import load_data, train
    from kaogan.generate.model import Model
    from kaogan.loading import load

__all__ = ["KaoganError", "Model", "UsageError", "__version__", "load", "load_data", "train"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that "kaogan --help" does not wait for torch.
    if name in ("train", "load_data"):
        from kaogan import api

        return getattr(api, name)
    if name == "load":
        from kaogan.loading import load

        return load
    if name == "Model":
        from kaogan.generate.model import Model

        return Model
    raise AttributeError(f"module 'kaogan' has no attribute '{name}'")
