"""HTML pages: the Jinja environment of every page that kaogan writes, and pictures inside them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

SHARED = Path(__file__).parent / "templates"


def environment(folder: Path) -> Environment:
    """Templates of ``folder``, and the shared ones: ``base.html.j2`` (page and style) and ``parts.html.j2`` (macros).

    Everything is escaped but what a template marks as safe; an unknown name is an error.
    """
    made = Environment(
        loader=FileSystemLoader([folder, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["picture"] = picture_uri
    return made


def picture_uri(pixels: np.ndarray, scale: int = 1) -> str:
    """uint8 (H, W, C) as a data URI, lossless, each pixel repeated ``scale`` times."""
    pixels = pixels.repeat(scale, 0).repeat(scale, 1)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, quality=70, method=4)
    return data_uri(buffer.getvalue(), "webp")


def data_uri(data: bytes, kind: str) -> str:
    """An encoded picture (``kind`` is webp, png, jpeg) inside the page."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
