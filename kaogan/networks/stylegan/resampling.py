"""Resampling: up-sample, filter, down-sample, as few depthwise convolutions at the lowest possible rate.

A signal raised to ``up`` times its rate is kept as its ``up`` *phases*: phase r holds the samples r, r + up, ... Each
is a short convolution of the original with every up-th tap, so no inserted zero is ever multiplied, and what works
point by point needs no other order. Everything is made of ordinary convolutions and can be differentiated any number
of times. Maps are (N, C, H, W), fastest in channels-last layout; outside of a map all is zero. Filters are (L,) for
both axes or (L, L). The slow obvious form of every function is in the tests.

That is for a CPU. On a device, where each launch costs, a signal is raised by one transposed convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.networks.stylegan.filters import prepare_filter

Padding = Sequence[int]  # x0, x1, y0, y1 at the raised rate; negative numbers crop


def upfirdn(
    x: Tensor, taps: Tensor | None, up: int = 1, down: int = 1, padding: Padding = (0, 0, 0, 0), gain: float = 1.0,
    flip: bool = False,
) -> Tensor:  # fmt: skip
    """Insert up - 1 zeros after each sample, pad, convolve with ``taps`` ("valid"), keep every down-th sample.

    ``flip`` correlates instead. Lengths: floor((up n + p0 + p1 - L)/down) + 1. The response is multiplied by ``gain``.
    """
    if taps is None:
        taps = x.new_ones(1, 1)
    if up > 1 and _few_launches(x):
        whole = _raise_at_once(x, taps.flip(list(range(taps.dim()))) if flip else taps, up, padding, gain)
        return whole[:, :, ::down, ::down] if down > 1 else whole
    taps = taps if flip else _flipped(taps)
    if up == 1:
        return _filter_down(x, taps, down, padding, gain)
    length = [up * n + sum(p) - taps.shape[-1] + 1 for n, p in _axes(x, padding)]
    rows = raise_rate(x, taps, up, (padding[2], padding[0]), length, gain)
    whole = interleave(rows, length)
    return whole[:, :, ::down, ::down] if down > 1 else whole


def upsample(x: Tensor, taps: Tensor, up: int = 2) -> Tensor:
    """(N, C, H, W) -> (N, C, up H, up W), gain up²."""
    length = taps.shape[-1]
    p0, p1 = (length + up - 1) // 2, (length - up) // 2
    return upfirdn(x, taps, up=up, padding=(p0, p1, p0, p1), gain=up**2)


def upsample_bilinear(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2 H, 2 W): ``upsample`` with the taps (1, 3, 3, 1), for planar maps of few channels."""
    if _few_launches(x):
        return upsample(x, _bilinear_taps(x.dtype, x.device))
    for axis, pads in ((3, (1, 1, 0, 0)), (2, (0, 0, 1, 1))):
        length, padded = x.shape[axis], F.pad(x, pads)
        before, here, after = (padded.narrow(axis, first, length) for first in range(3))
        x = torch.stack([here.lerp(before, 0.25), here.lerp(after, 0.25)], axis + 1).flatten(axis, axis + 1)
    return x


def _flipped(taps: Tensor) -> Tensor:
    """Reversed along all axes; on a device a filter keeps that, which would be a launch at each use."""
    kept = None if taps.device.type == "cpu" else getattr(taps, "_flipped", None)
    if kept is not None and kept[0] == taps._version:
        found: Tensor = kept[1]
        return found
    with torch.inference_mode(False):
        flipped = taps.flip(list(range(taps.dim())))
    if taps.device.type != "cpu" and not taps.is_inference():
        taps._flipped = taps._version, flipped  # type: ignore[attr-defined]
    return flipped


@cache
def _bilinear_taps(dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # what is made there cannot take part in a training
        return prepare_filter((1, 3, 3, 1)).to(device, dtype)


def downsample(x: Tensor, taps: Tensor, down: int = 2) -> Tensor:
    """(N, C, H, W) -> (N, C, H/down, W/down)."""
    length = taps.shape[-1]
    p0, p1 = (length - down + 1) // 2, (length - down) // 2
    return upfirdn(x, taps, down=down, padding=(p0, p1, p0, p1))


def filter_same(x: Tensor, taps: Tensor) -> Tensor:
    """(N, C, H, W) -> the same, filtered."""
    length = taps.shape[-1]
    return upfirdn(x, taps, padding=(length // 2, (length - 1) // 2) * 2)


def filtered_leaky_relu(
    x: Tensor, up_taps: Tensor | None, down_taps: Tensor | None, *, up: int, down: int, padding: int, size: int,
    gain: float, slope: float, clamp: float | None,
) -> Tensor:  # fmt: skip
    """The alias-free non-linearity (Karras et al. 2021): up-FIR, leaky ReLU, x gain, clamp, FIR-down.

    (N, C, n, n) -> (N, C, size, size). ``padding`` is p0 at the raised rate; ``up`` is a multiple of ``down``.
    """
    if up_taps is None or down_taps is None:
        return _activate(x * gain if gain != 1 else x, slope, clamp)
    length = (size - 1) * down + down_taps.shape[-1]
    if _few_launches(x):
        after = length - up * x.shape[2] - padding + up_taps.shape[-1] - 1
        x = upfirdn(x, up_taps, up=up, padding=(padding, after) * 2, gain=up * up * gain)
        return upfirdn(_activate(x, slope, clamp), down_taps, down=down)
    # A leaky ReLU passes a positive factor on, so its gain costs nothing in the taps.
    phases = raise_rate(x, up_taps.flip(0), up, (padding, padding), (length, length), up * up * gain)
    phases = [[_activate(phase, slope, clamp) for phase in row] for row in phases]
    return interleave(lower_rate(phases, down_taps.flip(list(range(down_taps.dim()))), down, size), (size, size))


def raise_rate(
    x: Tensor, taps: Tensor, up: int, start: Sequence[int], length: Sequence[int], gain: float
) -> list[list[Tensor]]:
    """The phases [row][column] of x at ``up`` times its rate, correlated with ``taps``; ``start`` zeros (y, x) come
    before the first sample, ``length`` samples (y, x) are wanted."""
    if taps.dim() == 1:
        taps = taps * math.sqrt(gain)
        across = _phases(x, taps[None, :], up, start[1], length[1], 3)
        parts = [_phases(column, taps[:, None], up, start[0], length[0], 2) for column in across]
        return [list(row) for row in zip(*parts, strict=True)]
    (low_y, high_y, rows), (low_x, high_x, columns) = (
        _reach(taps.shape[0], up, p, n) for p, n in zip(start, length, strict=True)
    )
    x, pads = _pad(x, (-low_y, high_y - x.shape[2]), (-low_x, high_x - x.shape[3]))
    taps = taps * gain
    return [
        [
            _depthwise(x, _place(_place(taps[ty::up, tx::up], dy, ky, 0), dx, kx, 1), pads)
            for tx, dx, kx in columns
        ]
        for ty, dy, ky in rows
    ]  # fmt: skip


def lower_rate(phases: list[list[Tensor]], taps: Tensor, down: int, size: int) -> list[list[Tensor]]:
    """Phases correlated with ``taps``, every down-th sample kept: the phases of the (N, C, size, size) that is left."""
    up = len(phases)
    if taps.dim() == 1:
        columns = [_merge([row[c] for row in phases], taps[:, None], down, size, 2) for c in range(up)]
        count = up // down
        return [_merge([columns[c][q] for c in range(up)], taps[None, :], down, size, 3) for q in range(count)]
    out: list[list[Tensor]] = []
    for qy in range(up // down):
        out.append([])
        for qx in range(up // down):
            terms = []
            for ry, row in enumerate(phases):
                for rx, phase in enumerate(row):
                    kernel = _slow_taps(taps, up, down, qy, ry, phase.shape[2], size, 0)
                    kernel = _slow_taps(kernel, up, down, qx, rx, phase.shape[3], size, 1)
                    terms.append(_depthwise(phase, kernel))
            out[-1].append(_total(terms))
    return out


def interleave(phases: list[list[Tensor]], length: Sequence[int]) -> Tensor:
    """Phases [row][column] -> the map that they are, (N, C, *length)."""
    up = len(phases)
    if up == 1:
        return phases[0][0]
    first = phases[0][0]
    (count, channels), (height, width) = first.shape[:2], first.shape[2:]
    rows = [torch.stack([_grow(phase, height, width).permute(0, 2, 3, 1) for phase in row], 3) for row in phases]
    whole = torch.stack(rows, 2)  # (N, H, up, W, up, C)
    whole = whole.reshape(count, up * height, up * width, channels)
    return whole[:, : length[0], : length[1]].permute(0, 3, 1, 2)


def crop_before(n: int, taps: int, up: int, padding: int, length: int) -> int:
    """How many samples at each end of a signal of length n do not reach the ``length`` raised samples; 0 or more."""
    low, high, _ = _reach(taps, up, padding, length)
    return max(0, min(low, n - high))


def _reach(taps: int, up: int, start: int, length: int) -> tuple[int, int, list[tuple[int, int, int]]]:
    """Which samples [low, high) of a signal its raised ``length`` samples are made of and, for each phase, its first
    tap, where that is placed in the phase's kernel, and how long the kernel is so that all phases read [low, high)."""
    first, ends, counts = [], [], []
    for r in range(up):
        tap = (start - r) % up
        begin = (r + tap - start) // up
        count = -(-(length - r) // up)
        first.append((tap, begin))
        counts.append(count)
        ends.append(begin + count + -(-(taps - tap) // up) - 1)
    low, high = min(begin for _, begin in first), max(ends)
    kernels = [
        (tap, begin - low, high - low - count + 1) for (tap, begin), count in zip(first, counts, strict=True)
    ]  # fmt: skip
    return low, high, kernels


def _phases(x: Tensor, taps: Tensor, up: int, start: int, length: int, axis: int) -> list[Tensor]:
    """Phases along one axis; ``taps`` is (1, L) or (L, 1)."""
    along = axis - 2
    low, high, kernels = _reach(taps.shape[along], up, start, length)
    edge = (-low, high - x.shape[axis])
    x, pads = _pad(x, edge if along == 0 else (0, 0), edge if along == 1 else (0, 0))
    every = [taps[tap::up] if along == 0 else taps[:, tap::up] for tap, _, _ in kernels]
    return [_depthwise(x, _place(t, d, k, along), pads) for t, (_, d, k) in zip(every, kernels, strict=True)]


def _merge(phases: list[Tensor], taps: Tensor, down: int, size: int, axis: int) -> list[Tensor]:
    """Phases along one axis -> the up/down phases of what is left of them at the lower rate."""
    up, along = len(phases), axis - 2
    return [
        _total(
            [
                _depthwise(phase, _slow_taps(taps, up, down, q, r, phase.shape[axis], size, along))
                for r, phase in enumerate(phases)
            ]
        )
        for q in range(up // down)
    ]  # fmt: skip


def _slow_taps(taps: Tensor, up: int, down: int, q: int, r: int, have: int, size: int, axis: int) -> Tensor:
    """The taps by which phase r (of up, ``have`` samples) enters phase q of the result: s = r - down q + up a >= 0."""
    wanted = -(-(size - q) // (up // down))
    skip = max(0, -((r - down * q) // up))
    every = slice(r - down * q + up * skip, None, up)
    return _place(taps[every] if axis == 0 else taps[:, every], skip, have - wanted + 1, axis)


def _place(taps: Tensor, before: int, length: int, axis: int) -> Tensor:
    """Taps with zeros around them along one axis, ``length`` in all."""
    edges = (before, length - before - taps.shape[axis])
    return F.pad(taps, (0, 0, *edges) if axis == 0 else edges) if any(edges) else taps


def _pad(x: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[Tensor, tuple[int, int]]:
    """Zeros around a map (negative: a crop), left to the convolution where both ends get the same: (map, padding)."""
    if rows[0] == rows[1] >= 0 and columns[0] == columns[1] >= 0:
        return x, (rows[0], columns[0])
    return F.pad(x, (*columns, *rows)), (0, 0)


def _filter_down(x: Tensor, taps: Tensor, down: int, padding: Padding, gain: float) -> Tensor:
    if taps.dim() == 2:
        x, pads = _pad(x, (padding[2], padding[3]), (padding[0], padding[1]))
        return _depthwise(x, taps * gain if gain != 1 else taps, pads, (down, down))
    taps = taps * math.sqrt(gain) if gain != 1 else taps
    x, pads = _pad(x, (0, 0), (padding[0], padding[1]))
    x = _depthwise(x, taps[None, :], pads, (1, down))
    x, pads = _pad(x, (padding[2], padding[3]), (0, 0))
    return _depthwise(x, taps[:, None], pads, (down, 1))


def _few_launches(x: Tensor) -> bool:
    """Whether one strided convolution costs less than several small ones."""
    return x.device.type != "cpu"


def _raise_at_once(x: Tensor, taps: Tensor, up: int, padding: Padding, gain: float) -> Tensor:
    """``upfirdn`` by transposed convolutions; ``taps`` as they are convolved with."""
    if taps.dim() == 2:
        return _spread_padded(x, taps * gain if gain != 1 else taps, (up, up), padding)
    taps = taps * math.sqrt(gain) if gain != 1 else taps
    x = _spread_padded(x, taps[None, :], (1, up), (*padding[:2], 0, 0))
    return _spread_padded(x, taps[:, None], (up, 1), (0, 0, *padding[2:]))


def _spread_padded(x: Tensor, kernel: Tensor, up: tuple[int, int], padding: Padding) -> Tensor:
    crops, sizes, edges = [], [], []
    for n, length, u, (p0, p1) in zip(x.shape[2:], kernel.shape, up, (padding[2:], padding[:2]), strict=True):
        wanted, whole, front = u * n + p0 + p1 - length + 1, (n - 1) * u + length, length - 1 - p0
        # The convolution itself crops the same at both ends, and may add up to u - 1 samples at the last.
        crop = min(max(front, 0), max(0, whole + u - 1 - front - wanted))
        size = whole - 2 * crop + min(max(0, front + wanted - (whole - crop)), u - 1)
        crops.append(crop)
        sizes.append(size)
        edges.append((crop - front, wanted - size - (crop - front)))
    out: Tensor = _Spread.apply(x, kernel, tuple(crops), up, tuple(sizes))
    return F.pad(out, (*edges[1], *edges[0])) if any(map(any, edges)) else out


class _Gather(torch.autograd.Function):
    """``_correlate``, whose gradient is ``_Spread``: PyTorch's own second derivatives take each channel by itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, padding: tuple[int, int], stride: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.how = padding, stride, tuple(x.shape[2:])
        return _correlate(x, kernel, padding, stride)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        return _Spread.apply(grad, *ctx.saved_tensors, *ctx.how), None, None, None


class _Spread(torch.autograd.Function):
    """The transposed convolution of every channel with one kernel, to a map of ``size``; its gradient: ``_Gather``."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: Tensor, padding: tuple[int, int], stride: tuple[int, int], size: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.how = padding, stride
        extra = [
            side + 2 * p - k - (n - 1) * s
            for side, p, k, n, s in zip(size, padding, kernel.shape, x.shape[2:], stride, strict=True)
        ]
        weight = kernel.to(x.dtype).expand(x.shape[1], 1, *kernel.shape)
        return F.conv_transpose2d(x, weight, None, stride, padding, extra, x.shape[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        return _Gather.apply(grad, *ctx.saved_tensors, *ctx.how), None, None, None, None


def _depthwise(
    x: Tensor, kernel: Tensor, padding: tuple[int, int] = (0, 0), stride: tuple[int, int] = (1, 1)
) -> Tensor:
    """The same correlation (kh, kw) on every channel."""
    if _few_launches(x):
        out: Tensor = _Gather.apply(x, kernel, padding, stride)
        return out
    if torch.is_grad_enabled() and x.requires_grad and stride[0] == stride[1]:
        return _Depthwise.apply(x, kernel, padding, stride)
    return _correlate(x, kernel, padding, stride)


def _correlate(x: Tensor, kernel: Tensor, padding: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    weight = kernel.to(x.dtype).expand(x.shape[1], 1, *kernel.shape)
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=x.shape[1])


class _Depthwise(torch.autograd.Function):
    """``_correlate`` whose gradient is made of forward convolutions too: oneDNN's own takes up to thirty times as long
    in bf16. It is differentiable itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, padding: tuple[int, int], stride: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.size, ctx.padding, ctx.stride = tuple(x.shape[2:]), padding, stride[0]
        return _correlate(x, kernel, padding, stride)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (kernel,) = ctx.saved_tensors
        flipped = kernel.flip(0, 1)
        before = [k - 1 - p for k, p in zip(kernel.shape, ctx.padding, strict=True)]
        if ctx.stride > 1:
            return interleave(raise_rate(grad, flipped, ctx.stride, before, ctx.size, 1.0), ctx.size), None, None, None
        after = [n + k - 1 - b - g for n, k, b, g in zip(ctx.size, kernel.shape, before, grad.shape[2:], strict=True)]
        grad, pads = _pad(grad, (before[0], after[0]), (before[1], after[1]))
        return _depthwise(grad, flipped, pads), None, None, None


def _activate(x: Tensor, slope: float, clamp: float | None) -> Tensor:
    if slope != 1:
        x = F.leaky_relu(x, slope, inplace=True)
    return x if clamp is None else x.clamp(-clamp, clamp)


def _grow(x: Tensor, height: int, width: int) -> Tensor:
    missing = (height - x.shape[2], width - x.shape[3])
    return F.pad(x, (0, missing[1], 0, missing[0])) if any(missing) else x


def _total(terms: list[Tensor]) -> Tensor:
    first, *rest = terms
    for term in rest:
        first = first.add_(term)  # no convolution needs its own result for its derivative
    return first


def _axes(x: Tensor, padding: Padding) -> list[tuple[int, tuple[int, int]]]:
    return [(x.shape[2], (padding[2], padding[3])), (x.shape[3], (padding[0], padding[1]))]
