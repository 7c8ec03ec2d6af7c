"""EQ-T and EQ-R: whether a picture moves as its input is moved, in dB (Karras et al. 2021, appendix E).

One translation or rotation is drawn for each batch and put into the generator's input as its inverse. What comes out is
compared with the unmoved picture that was moved afterwards, where both are known; peak-to-peak 2. Higher is better:
60 dB is a thousandth of the range.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.core.device import exact
from kaogan.core.rng import torch_generator
from kaogan.networks.stylegan import StyleGAN3Generator
from kaogan.networks.stylegan.resampling import upfirdn

TRANSLATION = 0.125  # the largest, as a share of the picture
LANCZOS = 3
OVERSAMPLING = 4


class Equivariance(NamedTuple):
    """Decibels; a number is infinite where pictures agree exactly."""

    eqt: float
    """Translation by whole pixels."""
    eqt_frac: float
    """Translation by any amount."""
    eqr: float
    """Rotation by any angle."""


@torch.no_grad()
def equivariance(
    generator: StyleGAN3Generator, count: int, *, latent_size: int, conditions: Tensor | None = None, seed: int = 0,
    batch_size: int = 4,
) -> Equivariance:  # fmt: skip
    """Measure ``count`` pictures, 50,000 in the paper. ``conditions`` (count, A) for a conditional generator.

    The generator's transform is as it was afterwards.
    """
    transform = generator.synthesis.input.transform
    before = transform.clone()
    device = transform.device
    errors = {name: torch.zeros(2, dtype=torch.float64) for name in Equivariance._fields}
    try:
        with exact(device):
            for start in range(0, count, batch_size):
                random = torch_generator(seed, "equivariance", start)
                here = min(batch_size, count - start)
                latents = torch.randn(here, latent_size, generator=random).to(device)
                styles = generator.styles(
                    latents, None if conditions is None else conditions[start : start + here].to(device)
                )

                def moved(matrix: Tensor, styles: Tensor = styles) -> Tensor:
                    transform.copy_(matrix)
                    return generator.synthesis(styles)

                still = moved(torch.eye(3))
                shift = (torch.rand(2, generator=random) * 2 - 1) * TRANSLATION
                angle = float(torch.rand([], generator=random) * 2 - 1) * math.pi
                width = still.shape[3]
                whole = (shift * width).round()
                for name, (x, y) in (("eqt", (whole / width).tolist()), ("eqt_frac", shift.tolist())):
                    reference, mask = translate(still, x * width, y * width, lanczos=name == "eqt_frac")
                    errors[name] += _errors(reference, moved(_shift(-x, -y)), mask)
                reference, mask = rotate(still, angle)
                found, kept = pseudo_rotate(moved(_turn(-angle)), angle)
                errors["eqr"] += _errors(reference, found, mask * kept)
    finally:
        transform.copy_(before)
    return Equivariance(*(_decibels(errors[name]) for name in Equivariance._fields))


def translate(images: Tensor, x: float, y: float, lanczos: bool = False) -> tuple[Tensor, Tensor]:
    """images (N, C, H, W) moved by x px to the right and y px down, and the mask of what is known, of the same shape.

    Without ``lanczos`` by whole pixels, else by windowed sincs of six taps.
    """
    mask = torch.ones_like(images)
    for axis, amount in ((2, y), (3, x)):
        whole = math.floor(amount) if lanczos else round(amount)
        if lanczos:
            images, inside = _lanczos(images, amount - whole, axis)
            mask = mask * inside
        images, mask = _roll(images, whole, axis), _roll(mask, whole, axis)
    return images, mask


def rotate(images: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """images (N, C, H, W) rotated by ``angle`` under a filter that keeps what both grids can hold, and the mask."""
    taps = band_limit(angle, OVERSAMPLING).to(images)
    height, width = images.shape[2:]
    reach, u = taps.shape[0] // 2, OVERSAMPLING
    p0, p1 = (len(taps) + u - 1) // 2 + reach, (len(taps) - u) // 2 + reach
    raised = upfirdn(images, taps, up=u, padding=(p0, p1, p0, p1), gain=u**2)
    matrix = torch.linalg.inv(_turn(angle))
    matrix[:2, 2] = matrix[:2, 2] * 2 + torch.tensor([1 / (u * width), 1 / (u * height)])
    matrix[0] *= width / (width + 2 * reach / u)
    matrix[1] *= height / (height + 2 * reach / u)
    grid = F.affine_grid(matrix[None, :2].to(images).repeat(len(images), 1, 1), list(images.shape), align_corners=False)
    turned = F.grid_sample(raised, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    mask = torch.zeros_like(raised)
    edge = 2 * reach + 1
    mask[:, :, edge:-edge, edge:-edge] = 1
    return turned, F.grid_sample(mask, grid, mode="nearest", padding_mode="zeros", align_corners=False)


def pseudo_rotate(images: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """images (N, C, H, W) under the filter of ``rotate`` alone, seen from the rotated side, and the mask."""
    taps = band_limit(-angle, 1).to(images)
    reach = taps.shape[0] // 2
    mask = torch.zeros_like(images)
    mask[:, :, reach:-reach, reach:-reach] = 1
    return upfirdn(images, taps, padding=(reach, reach, reach, reach)), mask


def band_limit(angle: float, oversampling: int, size: int = LANCZOS, extent: int = 64) -> Tensor:
    """The filter (2·2a·u - 1,) * 2 whose pass band is what remains of a square one after a rotation, a = ``size``.

    The product of two squares of frequencies, one rotated, is the convolution of their sincs; its window is that of the
    two Lanczos windows.
    """
    middle = extent * oversampling - 1
    steps = torch.arange(-middle, middle + 1, dtype=torch.float64) / oversampling
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    matrix = _turn(angle)[:2, :2].double()
    turned_x, turned_y = matrix[0, 0] * x + matrix[0, 1] * y, matrix[1, 0] * x + matrix[1, 1] * y

    def window(v: Tensor) -> Tensor:
        return torch.sinc(v / size) * (v.abs() < size)

    def both(first: Tensor, second: Tensor) -> Tensor:
        """Periodic convolution, its origin in the middle."""
        spectrum = torch.fft.fft2(torch.fft.ifftshift(first)) * torch.fft.fft2(torch.fft.ifftshift(second))
        return torch.fft.fftshift(torch.fft.ifft2(spectrum).real)

    response = both(torch.sinc(x) * torch.sinc(y), torch.sinc(turned_x) * torch.sinc(turned_y))
    windows = both(window(x) * window(y), window(turned_x) * window(turned_y))
    reach = 2 * size * oversampling - 1
    part = slice(middle - reach, middle + reach + 1)
    taps = (response * windows)[part, part].clone()
    for i in range(oversampling):
        for j in range(oversampling):
            taps[i::oversampling, j::oversampling] /= taps[i::oversampling, j::oversampling].sum() * oversampling**2
    return taps


def _errors(reference: Tensor, found: Tensor, mask: Tensor) -> Tensor:
    """The sum of squared errors and the number of pixels, (2,) of float64, on the CPU: Apple's GPUs have no float64."""
    reference, found, mask = (part.cpu().double() for part in (reference, found, mask))
    return torch.stack([((reference - found).square() * mask).sum(), mask.sum()])


def _decibels(sums: Tensor) -> float:
    error, count = sums.tolist()
    if not count:
        return math.nan
    return 20 * math.log10(2) - 10 * math.log10(error / count) if error else math.inf


def _roll(images: Tensor, amount: int, axis: int) -> Tensor:
    """Moved along an axis by whole pixels, zeros where nothing is known."""
    side = images.shape[axis]
    amount = max(-side, min(side, amount))
    kept = images.narrow(axis, max(0, -amount), side - abs(amount))
    ends = (max(0, amount), max(0, -amount))
    return F.pad(kept, ends if axis == 3 else (0, 0, *ends))


def _lanczos(images: Tensor, fraction: float, axis: int) -> tuple[Tensor, Tensor]:
    """Moved by a fraction of a pixel, and a mask of where the six taps see the picture."""
    where = torch.arange(1 - LANCZOS, LANCZOS + 1, dtype=torch.float64) - fraction
    taps = torch.sinc(where) * torch.sinc(where / LANCZOS)
    taps = (taps / taps.sum()).to(images)
    kernel = taps[None, :] if axis == 3 else taps[:, None]
    pads = (LANCZOS, LANCZOS - 1, 0, 0) if axis == 3 else (0, 0, LANCZOS, LANCZOS - 1)
    mask = torch.zeros_like(images)
    mask.narrow(axis, LANCZOS, images.shape[axis] - 2 * LANCZOS + 1).fill_(1)
    # A true convolution: what is at i comes from i - tap.
    return upfirdn(images, kernel, padding=pads), mask


def _shift(x: float, y: float) -> Tensor:
    return torch.tensor([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _turn(angle: float) -> Tensor:
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
