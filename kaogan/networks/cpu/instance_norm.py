"""Instance normalisation (Ulyanov et al. 2016) for channels-last maps on a CPU, fast under penalties too.

All of it works on a few pictures at a time, which stay in the cache, in float32. Letters below: x the map, μ and r its
mean and 1/√(variance + ε) over H and W, y = (x - μ)·r, w and b the affine map, c = r·w; g the gradient at the result,
m = mean g, s = mean gy; k the gradient at the gradient of x. Small tensors are (N, C, 1, 1). Sums of maps with factors
of y are put together from x without making y, a pass through memory less.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

PART = 2**19  # numbers of a map that are worked on at a time
LARGE = 1024  # pixels: from here on PyTorch's own group norm has a fast way through channels-last, but only forward


class InstanceNorm(nn.Module):
    """nn.InstanceNorm2d(channels, eps, affine=True) and a leaky ReLU of ``slope`` (1: none), at home in channels-last
    when trained on a CPU.

    There PyTorch's own is several times slower in the second derivative, and its GroupNorm in the first.
    """

    def __init__(self, channels: int, eps: float, slope: float = 1.0):
        super().__init__()
        self.eps, self.slope = eps, slope
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return _leaky_(F.group_norm(x, len(self.weight), self.weight, self.bias, self.eps), self.slope)
        affine = self.weight.view(1, -1, 1, 1), self.bias.view(1, -1, 1, 1)
        out: Tensor = _Normalise.apply(x, *affine, self.eps, self.slope)
        return out

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={self.eps}, slope={self.slope}"


class _Normalise(torch.autograd.Function):
    """leaky(w·y + b)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, slope: float) -> Tensor:
        ctx.slope, (count, channels, high, wide) = slope, x.shape
        bent = slope != 1  # else ``out`` is of no use, and others may change it in place
        if high * wide >= LARGE:
            affine = weight.flatten(), bias.flatten()
            out, mean, scale = torch.native_group_norm(x, *affine, count, channels, high * wide, channels, eps)
            _leaky_(out, slope)
            ctx.save_for_backward(x, weight, mean[:, :, None, None], scale[:, :, None, None], out if bent else x)
            return out
        out, means, scales = torch.empty_like(x), [], []
        for part, result in _few(x, out):
            broad = _wide(part)
            mean = _mean(broad)
            centred = broad - mean if broad is part else broad.sub_(mean)
            scale = _mean(centred * centred).add_(eps).rsqrt_()
            result.copy_(_leaky_(torch.addcmul(bias, centred, scale * weight), slope))
            means.append(mean)
            scales.append(scale)
        ctx.save_for_backward(x, weight, torch.cat(means), torch.cat(scales), out if bent else x)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        return *_Gradient.apply(grad, *ctx.saved_tensors, ctx.slope), None, None


class _Gradient(torch.autograd.Function):
    """c·(g - m - y·s), Σgy and Σg: the gradients of x, w and b; g is the one before the leaky ReLU."""

    @staticmethod
    def forward(
        ctx: Any, grad: Tensor, x: Tensor, w: Tensor, mean: Tensor, r: Tensor, out: Tensor, slope: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        to_x, ms, ss = torch.empty_like(x), [], []
        for g_, x_, mean_, r_, out_, result in _few(grad, x, mean, r, out, to_x):
            g_, x_, c = _wide(_through(g_, out_, slope)), _wide(x_), r_ * w
            m = _mean(g_)
            s = r_ * (_mean(g_ * x_) - mean_ * m)
            along = -c * s * r_
            result.copy_(torch.addcmul(-c * m - along * mean_, g_, c).addcmul_(x_, along))
            ms.append(m)
            ss.append(s)
        m, s = torch.cat(ms), torch.cat(ss)
        ctx.save_for_backward(grad, x, w, mean, r, out, m, s)
        ctx.slope = slope
        ctx.set_materialize_grads(False)
        count = x.shape[2] * x.shape[3]
        return to_x, count * s.sum(0, keepdim=True), count * m.sum(0, keepdim=True)

    @staticmethod
    @once_differentiable  # third derivatives are not supported
    def backward(ctx: Any, k: Tensor | None, k_w: Tensor | None, k_b: Tensor | None) -> tuple[Any, ...]:
        g, x, w, mean, r, out, m, s = ctx.saved_tensors
        k = torch.zeros_like(x) if k is None else k
        k_w = torch.zeros_like(w) if k_w is None else k_w
        k_b = torch.zeros_like(w) if k_b is None else k_b
        grad_g, grad_x, grad_w = torch.empty_like(g), torch.empty_like(x), torch.zeros_like(w)
        for k_, g_, x_, mean_, r_, out_, m_, s_, to_g, to_x in _few(k, g, x, mean, r, out, m, s, grad_g, grad_x):
            k_, g_, x_, c = _wide(k_), _wide(_through(g_, out_, ctx.slope)), _wide(x_), r_ * w
            mean_k, mean_kg = _mean(k_), _mean(k_ * g_)
            mean_ky = r_ * (_mean(k_ * x_) - mean_ * mean_k)
            cross = k_w - c * mean_ky
            to_g.copy_(torch.addcmul(k_b - c * mean_k - r_ * cross * mean_, k_, c).addcmul_(x_, r_ * cross))
            to_g.copy_(_through(to_g, out_, ctx.slope))
            # At y it is cross·g - c·s·k; from there to x as in the first derivative, and r depends on x as well.
            at_c = mean_kg - m_ * mean_k - s_ * mean_ky  # divided by H·W, like all means
            flat = cross * m_ - c * s_ * mean_k
            along = (cross - c * mean_ky) * s_ + at_c * c
            along = -r_ * r_ * along
            start = -r_ * flat - along * mean_
            to_x.copy_(torch.addcmul(start, k_, -r_ * c * s_).addcmul_(g_, r_ * cross).addcmul_(x_, along))
            grad_w += x.shape[2] * x.shape[3] * (r_ * at_c).sum(0, keepdim=True)
        return grad_g, grad_x, grad_w, None, None, None, None


def _leaky_(x: Tensor, slope: float) -> Tensor:
    return x if slope == 1 else F.leaky_relu_(x, slope)


def _through(grad: Tensor, out: Tensor, slope: float) -> Tensor:
    """The gradient before the leaky ReLU that made ``out``."""
    return grad if slope == 1 else torch.ops.aten.leaky_relu_backward(grad, out, slope, True)


def _few(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """A few pictures of each tensor at a time; the first one is a map."""
    return zip(*(t.split(max(1, PART // tensors[0][0].numel())) for t in tensors), strict=True)


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
