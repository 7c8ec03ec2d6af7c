"""Sets of pictures: reading, labels, cache, the built-in avatars, blurred-edge negatives.

The names are looked up on first use, so that ``import kaogan.data.avatars`` does not pull in torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kaogan.data.decoding import BrokenPicture, decode, read_picture
    from kaogan.data.edges import blur_edges
    from kaogan.data.pictures import PictureSet, load_pictures

__all__ = ["BrokenPicture", "PictureSet", "blur_edges", "decode", "load_pictures", "read_picture"]

_HOMES = {
    "BrokenPicture": "decoding",
    "PictureSet": "pictures",
    "blur_edges": "edges",
    "decode": "decoding",
    "load_pictures": "pictures",
    "read_picture": "decoding",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
