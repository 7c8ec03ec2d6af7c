"""The bytes of JPEGs: headers that need no care, and files without their end."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

import numpy as np
from PIL import Image

# Of JPEG: baseline and progressive frames, start of the pixels; JFIF, tables and comments.
_FRAMES, _SCAN, _HARMLESS = (0xC0, 0xC1, 0xC2), 0xDA, frozenset((0xE0, 0xDB, 0xC4, 0xDD, 0xFE))
_FRAME = struct.Struct(">BHHB")
_END = b"\xff\xd9"  # of a JPEG
_FILLER = bytes(range(1, 251)) * 4  # no marker is among them
_BLOCK_PIXELS = 8 * 8  # of a JPEG


def plain_jpeg(data: bytes) -> tuple[str, int, int] | None:
    """(mode, width, height) of a JPEG of 8 bits, grey or of three colours, whose header holds nothing of Exif, Adobe
    or anything else that changes what is seen."""
    if data[:3] != b"\xff\xd8\xff":
        return None
    at, found = 2, None
    while at + 10 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if kind in _FRAMES and found is None:
            bits, height, width, layers = _FRAME.unpack_from(data, at + 4)
            if bits != 8 or layers not in (1, 3) or not width or not height:
                return None
            found = "L" if layers == 1 else "RGB", width, height
        elif kind == _SCAN:
            return found
        elif kind not in _HARMLESS:
            return None
        at += 2 + (data[at + 2] << 8) + data[at + 3]
    return None


def with_end(file: BinaryIO) -> io.BytesIO | None:
    """A JPEG that lacks only its end, with one; None for one that lacks pixels, which libjpeg would paint grey.

    Bytes after the last block change nothing, bytes within the pixels do: the file is completed in two ways, and what
    differs was missing. A few blocks at the very end may.
    """
    file.seek(0)
    data = file.read().rstrip(b"\0")
    if data.endswith(_END):
        return None
    pictures = []
    for filler in (b"", _FILLER):
        with Image.open(io.BytesIO(data + filler + _END), formats=("JPEG",)) as opened:
            opened.load()
            pictures.append(np.asarray(opened.convert("RGB")))
    missing = int((pictures[0] != pictures[1]).any(2).sum())
    pixels = pictures[0].shape[0] * pictures[0].shape[1]
    may_lack = max(_BLOCK_PIXELS, min(4 * _BLOCK_PIXELS, pixels // 100))
    return io.BytesIO(data + _END) if missing <= may_lack else None
