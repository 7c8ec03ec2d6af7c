"""Datasets: reading, labels, cache, the built-in avatars, blurred-edge negatives.

The names are looked up on first use, so that ``import kaogan.data.avatars`` does not pull in torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaogan.core.lazy_names import lazy_names

if TYPE_CHECKING:
    from kaogan.data.dataset import PictureSet, load_pictures
    from kaogan.data.decoding import BrokenPicture, decode, read_picture
    from kaogan.data.edge_blur import blur_edges

__all__ = ["BrokenPicture", "PictureSet", "blur_edges", "decode", "load_pictures", "read_picture"]

__getattr__ = lazy_names(__name__, {".dataset": ("PictureSet", "load_pictures"), ".edge_blur": ("blur_edges",),
                                    ".decoding": ("BrokenPicture", "decode", "read_picture")})  # fmt: skip
