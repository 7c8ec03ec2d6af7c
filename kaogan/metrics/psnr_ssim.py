"""How near one picture is to another, pixel by pixel: PSNR and SSIM, for enlarged pictures and their originals."""

from __future__ import annotations

import math

import numpy as np

RADIUS, SIGMA = 5, 1.5  # the 11 × 11 window of the paper
K1, K2 = 0.01, 0.03


def psnr(picture: np.ndarray, original: np.ndarray, data_range: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels; infinite for equal pictures."""
    _same_shape(picture, original)
    error = float(np.mean((picture.astype(np.float64) - original.astype(np.float64)) ** 2))
    return 10 * math.log10(data_range**2 / error) if error else math.inf


def ssim(picture: np.ndarray, original: np.ndarray, data_range: float = 255.0) -> float:
    """Structural similarity (Wang et al. 2004) of pictures (H, W) or (H, W, C), at least 11 px a side.

    Gaussian window of 11 × 11 px, sigma 1.5, windows that overlap the edge left out, the mean over channels; the same
    as scikit-image's ``structural_similarity`` with ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False``.
    Raises ValueError for smaller pictures.
    """
    _same_shape(picture, original)
    x, y = (np.atleast_3d(p).astype(np.float64) for p in (picture, original))
    if min(x.shape[:2]) < 2 * RADIUS + 1:
        raise ValueError(f"SSIM needs pictures of at least {2 * RADIUS + 1} px, not {x.shape[1]} × {x.shape[0]}")
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x, variance_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float((luminance * structure).mean())


def _blurred(values: np.ndarray) -> np.ndarray:
    """The Gaussian mean of every whole window, (H - 10, W - 10, C)."""
    taps = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    taps /= taps.sum()
    for axis in (0, 1):
        kept = values.shape[axis] - 2 * RADIUS
        values = sum(tap * np.take(values, range(start, start + kept), axis) for start, tap in enumerate(taps))
    return values


def _same_shape(picture: np.ndarray, original: np.ndarray) -> None:
    if picture.shape != original.shape:
        raise ValueError(f"pictures of different shapes: {picture.shape} and {original.shape}")
