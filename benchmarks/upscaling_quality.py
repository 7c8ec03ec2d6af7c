"""PSNR, SSIM and perceptual distances of upscaled pictures, beside interpolation and other programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.lpips import LPIPSDistance, find_lpips
from kaogan.aux_models.upscaler.resampling import resized, shrink
from kaogan.core.images import Pictures, to_float, to_uint8
from kaogan.metrics.psnr_ssim import psnr, ssim
from kaogan.metrics.stats.estimate import Estimate
from kaogan.metrics.stats.intervals import mean_of
from kaogan.training.upscaler.perceptual_loss import PerceptualDistance

UpscaleMethod = Callable[[Pictures], Pictures]  # uint8 (N, h, w, 3) -> uint8 (N, scale·h, scale·w, 3)
DISTANCES = ("distance", "lpips")  # less is better


@dataclass(frozen=True)
class UpscalingResult:
    """Of N pictures: dB, in [-1, 1], the tagger's distance (perceptual_loss.py), and LPIPS if it was there."""

    psnr: np.ndarray
    ssim: np.ndarray
    distance: np.ndarray
    lpips: np.ndarray | None = None

    @property
    def measures(self) -> tuple[str, ...]:
        return ("psnr", "ssim", "distance") if self.lpips is None else ("psnr", "ssim", "distance", "lpips")

    def mean(self, measure: str) -> Estimate:
        """The mean with Student's 95 % interval over pictures."""
        return mean_of(getattr(self, measure))

    def gain(self, other: UpscalingResult, measure: str) -> Estimate:
        """The mean difference to another method on the same pictures, with its interval."""
        return mean_of(getattr(self, measure) - getattr(other, measure))

    def wins(self, other: UpscalingResult, measure: str) -> int:
        """On how many of the pictures it is better."""
        better = getattr(self, measure) - getattr(other, measure)
        return int(((better < 0) if measure in DISTANCES else (better > 0)).sum())


def evaluate(
    originals: Pictures, scale: int, methods: Mapping[str, UpscaleMethod], baselines: bool = True
) -> dict[str, UpscalingResult]:
    """Shrink ``originals`` uint8 (N, H, W, 3) by ``scale`` (antialiased bicubic, rounded) and enlarge them again.

    With ``baselines`` Pillow's bicubic and Lanczos are added. LPIPS is measured where it is installed with weights
    (benchmarks/lpips.py). Sides must be multiples of ``8`` and of ``scale``.
    """
    low = np.concatenate(
        [to_uint8(shrink(to_float(part), scale)) for part in np.array_split(originals, len(originals))]
    )
    named: dict[str, UpscaleMethod] = {}
    if baselines:
        named = {how: lambda x, how=how: resized(x, scale, how) for how in ("bicubic", "lanczos")}  # type: ignore[misc]
    distance, lpips = PerceptualDistance(), find_lpips()
    return {name: measured(method(low), originals, distance, lpips) for name, method in (named | dict(methods)).items()}


@torch.inference_mode()
def measured(
    made: Pictures, originals: Pictures, distance: PerceptualDistance, lpips: LPIPSDistance | None = None
) -> UpscalingResult:
    values = []
    for picture, original in zip(made, originals, strict=True):
        pair = to_float(picture[None]), to_float(original[None])
        felt = [float(way(*pair)) for way in (distance, lpips) if way is not None]
        values.append((psnr(picture, original), ssim(picture, original), *felt))
    return UpscalingResult(*np.array(values).T)
