"""Datasets: reading, labels, cache, the built-in avatars, blurred-edge negatives.

The names are looked up on first use, so that ``import kaogan.data.avatars`` does not pull in torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kaogan.data.dataset import PictureSet, load_pictures
    from kaogan.data.decoding import BrokenPicture, decode, read_picture
    from kaogan.data.edge_blur import blur_edges

__all__ = ["BrokenPicture", "PictureSet", "blur_edges", "decode", "load_pictures", "read_picture"]

_HOMES = {
    "BrokenPicture": "decoding",
    "PictureSet": "dataset",
    "blur_edges": "edge_blur",
    "decode": "decoding",
    "load_pictures": "dataset",
    "read_picture": "decoding",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
