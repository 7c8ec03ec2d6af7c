"""Upscalers of faces: ``load_upscaler("kao-sr").upscale(pictures, scale=4)``.

The names are looked up on first use, so that ``import kaogan.aux_models.upscaler`` does not pull in torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kaogan.aux_models.upscaler.load import load_upscaler, names
    from kaogan.aux_models.upscaler.model import Upscaler, save_upscaler

__all__ = ["Upscaler", "load_upscaler", "names", "save_upscaler"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kaogan.aux_models.upscaler import load, model

    return getattr(load if name in ("load_upscaler", "names") else model, name)
