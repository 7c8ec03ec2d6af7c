"""Convolutions for training on a CPU: PyTorch's in weights and results, with the fastest way to each derivative.

A convolution, its gradient at the map and its gradient at the weights are bilinear, and each one's derivatives are the
other two: three Functions, differentiable as often as one likes. PyTorch's second derivative instead swaps batch and
channels and takes up to ten times as long. Below, ``large`` is the map (N, C, H, W) that a convolution reads, ``small``
the map (N, O, h, w) that it makes, and the weight (O, C / groups, k, k); a transposed one goes from small to large.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.networks.cpu.grad_modes import weight_cast_cache, weight_gradients_wanted

SMALL = 8  # px: oneDNN's gradient of the weights takes up to twice as long as a product of matrices on maps up to this
FEW = 4  # channels: oneDNN's transposed convolution takes three times as long as ``_cells`` for so few


class Shape(NamedTuple):
    """Of a convolution: its kernel, stride and padding, the size (H, W) of the large map, and its groups."""

    kernel: int
    stride: int
    padding: int
    size: tuple[int, int]
    groups: int = 1


class Conv2d(nn.Conv2d):
    """nn.Conv2d with square kernels."""

    def forward(self, x: Tensor) -> Tensor:
        if not _ours(self, x):
            return super().forward(x)
        x, weight, bias = _cast(x, self)
        shape = Shape(self.kernel_size[0], self.stride[0], int(self.padding[0]), (x.shape[2], x.shape[3]), self.groups)
        out: Tensor = _Conv.apply(x, weight, bias, shape)
        return out


class ConvTranspose2d(nn.ConvTranspose2d):
    """nn.ConvTranspose2d with square kernels."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not _ours(self, x) or output_size is not None:
            return super().forward(x, output_size)
        x, weight, bias = _cast(x, self)
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        high, wide = ((side - 1) * stride - 2 * padding + kernel + self.output_padding[0] for side in x.shape[2:])
        out: Tensor = _ConvTranspose.apply(x, weight, bias, Shape(kernel, stride, padding, (high, wide), self.groups))
        return out


def _ours(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> bool:
    """On a CPU all of them; on a device those in groups, of which PyTorch's second derivative takes each on its own."""
    if x.device.type != "cpu" and layer.groups == 1:
        return False  # without a look at the weight, which a parametrisation would compute for it
    weight = layer.weight
    return layer.training and weight.is_contiguous(memory_format=torch.channels_last)


def _cast(x: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d) -> tuple[Tensor, Tensor, Tensor | None]:
    """What autocast does for PyTorch's convolutions."""
    if not torch.is_autocast_enabled(x.device.type):
        return x, layer.weight, layer.bias
    dtype, weight, bias = torch.get_autocast_dtype(x.device.type), layer.weight, layer.bias
    casts, key = weight_cast_cache(), (layer, torch.is_grad_enabled())
    if casts is not None and key in casts:
        return x.to(dtype), *casts[key]
    cast = weight.to(dtype), None if bias is None else bias.to(dtype)
    if casts is not None and weight.is_leaf:  # a parametrisation makes a new one each time
        casts[key] = cast
    return x.to(dtype), *cast


class _Conv(torch.autograd.Function):
    """The convolution: large, weight, bias (O,) -> small."""

    @staticmethod
    def forward(ctx: Any, large: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape) -> Tensor:
        ctx.save_for_backward(large, weight)
        ctx.shape = shape
        return _gather(large, weight, bias, shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (large, weight), (to_map, to_weight, to_bias, _) = ctx.saved_tensors, ctx.needs_input_grad
        return (
            _ConvTranspose.apply(grad, weight, None, ctx.shape) if to_map else None,
            _ConvWeightGrad.apply(large, grad, ctx.shape) if to_weight and weight_gradients_wanted() else None,
            grad.sum((0, 2, 3)) if to_bias and weight_gradients_wanted() else None,
            None,
        )


class _ConvTranspose(torch.autograd.Function):
    """The transposed convolution: small, weight, bias (C,) -> large."""

    @staticmethod
    def forward(ctx: Any, small: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape) -> Tensor:
        ctx.save_for_backward(small, weight)
        ctx.shape = shape
        return _spread(small, weight, bias, shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (small, weight), (to_map, to_weight, to_bias, _) = ctx.saved_tensors, ctx.needs_input_grad
        return (
            _Conv.apply(grad, weight, None, ctx.shape) if to_map else None,
            _ConvWeightGrad.apply(grad, small, ctx.shape) if to_weight and weight_gradients_wanted() else None,
            grad.sum((0, 2, 3)) if to_bias and weight_gradients_wanted() else None,
            None,
        )


class _ConvWeightGrad(torch.autograd.Function):
    """The gradient at the weight: large, small -> weight."""

    @staticmethod
    def forward(ctx: Any, large: Tensor, small: Tensor, shape: Shape) -> Tensor:
        ctx.save_for_backward(large, small)
        ctx.shape = shape
        return _correlate(large, small, shape)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (large, small), (to_large, to_small, _) = ctx.saved_tensors, ctx.needs_input_grad
        return (
            _ConvTranspose.apply(small, grad, None, ctx.shape) if to_large else None,
            _Conv.apply(large, grad, None, ctx.shape) if to_small else None,
            None,
        )


def _gather(large: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape) -> Tensor:
    if not _whole(shape):
        return F.conv2d(_flat(large), _flat(weight), bias, shape.stride, shape.padding, groups=shape.groups)
    return F.linear(_rows(large), _rows(weight), bias)[:, :, None, None].clone()  # see _spread


def _spread(small: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape) -> Tensor:
    small, weight = _flat(small), _flat(weight)
    kernel, stride, padding, size, groups = shape
    if _whole(shape):
        out = (small.flatten(1) @ _rows(weight)).unflatten(1, (*size, -1)).permute(0, 3, 1, 2)
        # A copy, for autograd forbids to change views in place, as activations do.
        return out.clone() if bias is None else out + bias[:, None, None]
    even = kernel % stride == 0 and not any((side + 2 * padding) % stride for side in size)
    if groups == 1 and weight.shape[1] <= FEW and even:
        return _cells(small, weight, bias, shape)
    extra = [side + 2 * padding - kernel - (few - 1) * stride for side, few in zip(size, small.shape[2:], strict=True)]
    return F.conv_transpose2d(small, weight, bias, stride, padding, extra, groups)


def _correlate(large: Tensor, small: Tensor, shape: Shape) -> Tensor:
    large, small = _flat(large), _flat(small)
    kernel, stride, padding, _, groups = shape
    outside, inside = small.shape[1], large.shape[1] // groups
    if groups == 1 and max(small.shape[2:]) <= SMALL:
        padded = F.pad(large.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
        windows = padded.unfold(1, kernel, stride).unfold(2, kernel, stride)  # (N, h, w, C, k, k)
        patches = windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, kernel * kernel * inside)
        product = small.permute(0, 2, 3, 1).reshape(-1, outside).t() @ patches
        return product.view(outside, kernel, kernel, inside).permute(0, 3, 1, 2)
    weight = large.new_empty(outside, inside, kernel, kernel).to(memory_format=torch.channels_last)
    how = [stride, stride], [padding, padding], [1, 1], False, [0, 0], groups, [False, True, False]
    return torch.ops.aten.convolution_backward(small, large, weight, None, *how)[1]


def _cells(small: Tensor, weight: Tensor, bias: Tensor | None, shape: Shape) -> Tensor:
    """The transposed convolution with the pixels of a cell, stride times stride of them, as channels of one pixel."""
    (_, stride, padding, (high, wide), _), inside = shape, weight.shape[1]
    split = weight.unflatten(3, (-1, stride)).unflatten(2, (-1, stride))  # (O, C, k/s, s, k/s, s)
    split = split.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)
    cells = F.conv_transpose2d(small, split, None if bias is None else bias.repeat(stride * stride))
    pixels = cells.unflatten(1, (stride, stride, inside)).permute(0, 4, 1, 5, 2, 3)  # (N, H/s, s, W/s, s, C)
    pixels = pixels.flatten(3, 4).flatten(1, 2)[:, padding : padding + high, padding : padding + wide]
    out = torch.empty_like(pixels.permute(0, 3, 1, 2), memory_format=torch.channels_last)
    return out.copy_(pixels.permute(0, 3, 1, 2))


def _whole(shape: Shape) -> bool:
    """Whether the kernel covers the whole large map, so that the small one has one pixel."""
    return shape.groups == 1 and shape.padding == 0 and shape.size == (shape.kernel, shape.kernel)


def _rows(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H·W·C), a view in channels-last."""
    return x.permute(0, 2, 3, 1).flatten(1)


def _flat(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)
