"""Edge blur: BaMSGAN's extra negatives, which teach a discriminator that soft outlines are fake."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

Variant = Literal["honest", "source"]


def blur_edges(
    pictures: np.ndarray,
    *,
    low: float = 200,
    high: float = 500,
    dilation: int = 3,
    kernel: int = 5,
    variant: Variant = "honest",
) -> np.ndarray:
    """Blur the edges of uint8 (N, S, S, C), C = 1 or 3 (RGB); everything else stays. Returns the same shape.

    Edges are Canny's with thresholds ``low`` and ``high`` on the L1 norm of 3x3 Sobel gradients. A colour picture is
    not turned grey: at each pixel OpenCV takes the channel with the largest gradient, so that RGB or BGR matters in
    ties only.

    ``honest`` (CartoonGAN, Chen et al. 2018, section 3.2.1): the edges are widened by a square of ``dilation`` pixels
    and the Gaussian-blurred picture (``kernel`` pixels, odd) is pasted into that band.
    ``source``: what BaMSGAN's published blur.py does: the edge pixels alone, undilated, are replaced by the blur of the
    picture in which all but the edge pixels is black. It darkens outlines rather than softening them. Its call passes
    BORDER_DEFAULT, 4, where OpenCV expects sigmaY: the blur is wider from top to bottom than from left to right.

    Raises ValueError for another variant, an even kernel or pictures of another kind.
    """
    if variant not in ("honest", "source"):
        raise ValueError(f"variant '{variant}': 'honest' or 'source'")
    if kernel < 1 or kernel % 2 == 0 or dilation < 1:
        raise ValueError(f"kernel {kernel} must be odd, dilation {dilation} at least 1")
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] not in (1, 3):
        raise ValueError(f"pictures must be uint8 (N, S, S, 1 or 3), not {pictures.dtype} {pictures.shape}")
    square = np.ones((dilation, dilation), np.uint8)
    result = np.array(pictures)
    for picture, out in zip(pictures, result, strict=True):
        picture = np.ascontiguousarray(picture)
        edges = cv2.Canny(picture, low, high, apertureSize=3, L2gradient=False) > 0
        if variant == "honest":
            band = cv2.dilate(edges.astype(np.uint8), square) > 0
            soft = cv2.GaussianBlur(picture, (kernel, kernel), 0)
        else:
            band = edges
            masked = picture * edges[..., None].astype(np.uint8)
            soft = cv2.GaussianBlur(masked, (kernel, kernel), sigmaX=0, sigmaY=4)
        out[band] = soft.reshape(out.shape)[band]
    return result
