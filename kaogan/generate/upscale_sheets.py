"""Comparison sheets of an upscaler: low | bicubic | ours | original, side by side."""

from __future__ import annotations

import numpy as np

from kaogan.aux_models.upscaler.model import Upscaler
from kaogan.aux_models.upscaler.resampling import resized, shrink
from kaogan.core.images import Pictures, to_float, to_uint8
from kaogan.core.picture_files import labelled_grid
from kaogan.metrics.psnr_ssim import psnr


def comparison_sheet(upscaler: Upscaler, picture: np.ndarray, scale: int) -> tuple[np.ndarray, float, float]:
    """(sheet, PSNR of ours, PSNR of bicubic) of one picture (H, W, C) that is shrunk and enlarged again."""
    original = _three_channels(picture)
    high, wide = (side // scale * scale for side in original.shape[:2])
    original = np.ascontiguousarray(original[:high, :wide])[None]
    low = to_uint8(shrink(to_float(original), scale))
    bicubic, ours = resized(low, scale, "bicubic"), upscaler.upscale(low, scale)
    panels = np.concatenate([resized(low, scale, "nearest"), bicubic, ours, original])
    sheet = labelled_grid(panels, [], [f"low /{scale}", "bicubic", "ours", "original"])
    return sheet, psnr(ours[0], original[0]), psnr(bicubic[0], original[0])


def side_by_side(upscaler: Upscaler, pictures: Pictures, scale: int) -> np.ndarray:
    """A sheet (H, W, 3) of pictures that have no original, a row each: low | bicubic | ours."""
    low = np.stack([_three_channels(picture) for picture in pictures])
    columns = (resized(low, scale, "nearest"), resized(low, scale, "bicubic"), upscaler.upscale(low, scale))
    panels = np.concatenate([np.stack(row) for row in zip(*columns, strict=True)])
    return labelled_grid(panels, [""] * len(low), ["low", "bicubic", "ours"])


def _three_channels(picture: np.ndarray) -> np.ndarray:
    """Grey as colour, and what is transparent over white."""
    if picture.shape[2] == 1:
        return picture.repeat(3, 2)
    if picture.shape[2] == 3:
        return picture
    share = picture[..., 3:].astype(np.float32) / 255
    return np.rint(picture[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
