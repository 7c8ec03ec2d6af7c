"""Convolutions next to the smallest maps, as products of matrices: same weights, same results, faster on a CPU."""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALL = 4  # px; see Conv2d


class Conv2d(nn.Conv2d):
    """nn.Conv2d, as a product of matrices where the map that comes out is small and the machine is a CPU in training.

    oneDNN's gradient of the weights takes up to five times as long as this there: few pixels, many channels.
    """

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        size = (x.shape[2] + 2 * padding - kernel) // stride + 1
        if not _by_matrices(self, self.weight, size):
            return super().forward(x)
        patches = _Gather.apply(_in_channels_last(x), kernel, stride, padding)
        out = F.linear(patches, self.weight.permute(0, 2, 3, 1).flatten(1), self.bias)
        return out.view(len(x), size, size, self.out_channels).permute(0, 3, 1, 2)


class ConvTranspose2d(nn.ConvTranspose2d):
    """nn.ConvTranspose2d, as a product of matrices where the map that goes in is small, like ``Conv2d``."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        size = (x.shape[2] - 1) * stride - 2 * padding + kernel + self.output_padding[0]
        if not _by_matrices(self, self.weight, x.shape[2]):
            return super().forward(x, output_size)
        patches = _in_channels_last(x).flatten(0, 2) @ self.weight.permute(0, 2, 3, 1).flatten(1)
        out = _Scatter.apply(patches, (len(x), size, size, self.out_channels), kernel, stride, padding)
        return (out if self.bias is None else out + self.bias.to(out.dtype)).permute(0, 3, 1, 2)


def _by_matrices(layer: nn.Conv2d | nn.ConvTranspose2d, weight: Tensor, size: int) -> bool:
    wanted = layer.training and size <= SMALL and weight.device.type == "cpu"
    return wanted and weight.is_contiguous(memory_format=torch.channels_last)


def _in_channels_last(x: Tensor) -> Tensor:
    """(N, C, H, W) in any layout -> contiguous (N, H, W, C), a view if it can be."""
    return x.permute(0, 2, 3, 1).contiguous()


class _Gather(torch.autograd.Function):
    """Maps (N, H, W, C) -> the patches under a kernel (N·H'·W', k·k·C). ``_Scatter`` is its adjoint and gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
        ctx.shape, ctx.how = x.shape, (kernel, stride, padding)
        x = F.pad(x, (0, 0, padding, padding, padding, padding))
        windows = x.unfold(1, kernel, stride).unfold(2, kernel, stride)  # (N, H', W', C, k, k)
        return windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, kernel * kernel * x.shape[3])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        return _Scatter.apply(grad, ctx.shape, *ctx.how), None, None, None


class _Scatter(torch.autograd.Function):
    """Patches (N·H'·W', k·k·C) -> maps (N, H, W, C) of ``shape``, overlapping patches added up."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor, shape: tuple[int, ...], kernel: int, stride: int, padding: int) -> Tensor:
        ctx.how = kernel, stride, padding
        count, height, width, channels = shape
        high, wide = ((side + 2 * padding - kernel) // stride + 1 for side in (height, width))
        patches = patches.view(count, high, wide, kernel, kernel, channels)
        out = patches.new_zeros(count, height + 2 * padding, width + 2 * padding, channels)
        for i, j in itertools.product(range(kernel), repeat=2):
            out[:, i : i + stride * high : stride, j : j + stride * wide : stride] += patches[:, :, :, i, j]
        # Not a view of ``out``: autograd forbids to change those in place, as an activation does.
        return out[:, padding : padding + height, padding : padding + width].contiguous() if padding else out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        return _Gather.apply(grad.contiguous(), *ctx.how), None, None, None, None
