"""The low-pass filters of StyleGAN2 and StyleGAN3, as they are stored in their networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SEPARABLE_FROM = 8  # taps; shorter filters are stored as matrices


def prepare_filter(taps: Sequence[float]) -> Tensor:
    """Taps divided by their sum: fewer than 8 become their outer product (L, L), others stay separable, (L,)."""
    row = torch.tensor(taps, dtype=torch.float32)
    matrix = row.outer(row) if len(taps) < SEPARABLE_FROM else row
    return matrix / matrix.sum()


def design_lowpass(taps: int, cutoff: float, half_width: float, rate: float, radial: bool = False) -> Tensor | None:
    """A Kaiser-windowed low-pass filter of sum 1: (taps,), or (taps, taps) if ``radial``; None for a single tap.

    ``cutoff``, ``half_width`` (of the transition) and the sampling ``rate`` are in cycles per picture. Radial filters
    are jinc instead of sinc, the same in every direction. Karras et al. 2021, appendix C; the Kaiser parameter is that
    of Kaiser & Schafer 1980.
    """
    if taps == 1:
        return None
    attenuation = 2.285 * (taps - 1) * math.pi * (2 * half_width / (rate / 2)) + 7.95
    beta = 0.0
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    window = np.kaiser(taps, beta)
    where = (np.arange(taps) - (taps - 1) / 2) / rate
    if radial:
        radius = torch.from_numpy(np.hypot(*np.meshgrid(where, where)))  # never 0: the number of taps is even
        response = torch.special.bessel_j1(2 * math.pi * cutoff * radius) / (math.pi * radius)
        response = response * torch.from_numpy(np.outer(window, window))
    else:
        response = torch.from_numpy(np.sinc(2 * cutoff * where) * window)
    return (response / response.sum()).float()
