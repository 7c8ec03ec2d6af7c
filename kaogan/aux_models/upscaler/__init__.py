"""Upscalers of faces: ``load_upscaler("kao-sr").upscale(pictures, scale=4)``.

The names are looked up on first use, so that ``import kaogan.aux_models.upscaler`` does not pull in torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaogan.core.lazy_names import lazy_names

if TYPE_CHECKING:
    from kaogan.aux_models.upscaler.load import load_upscaler, names
    from kaogan.aux_models.upscaler.model import Upscaler, save_upscaler

__all__ = ["Upscaler", "load_upscaler", "names", "save_upscaler"]

__getattr__ = lazy_names(__name__, {".load": ("load_upscaler", "names"), ".model": ("Upscaler", "save_upscaler")})
