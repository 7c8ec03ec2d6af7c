"""Instance normalisation (Ulyanov et al. 2016) for channels-last maps on a CPU, fast under penalties too.

All of it works on a few pictures at a time, which stay in the cache, in float32. Letters below: x the map, μ and r its
mean and 1/√(variance + ε) over H and W, y = (x - μ)·r, w and b the affine map, c = r·w; g the gradient at the result,
m = mean g, s = mean gy; k the gradient at the gradient of x. Small tensors are (N, C, 1, 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

PART = 2**18  # numbers of a map that are worked on at a time


class InstanceNorm(nn.Module):
    """nn.InstanceNorm2d(channels, eps, affine=True), at home in channels-last when trained on a CPU.

    There PyTorch's own is several times slower in the second derivative, and its GroupNorm in the first.
    """

    def __init__(self, channels: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return F.group_norm(x, len(self.weight), self.weight, self.bias, self.eps)
        out: Tensor = _Normalise.apply(x, self.weight.view(1, -1, 1, 1), self.bias.view(1, -1, 1, 1), self.eps)
        return out


class _Normalise(torch.autograd.Function):
    """w·y + b."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        out, means, scales = torch.empty_like(x), [], []
        for part, result in _few(x, out):
            wide = _wide(part)
            mean = _mean(wide)
            centred = wide - mean
            scale = _mean(centred * centred).add_(eps).rsqrt_()
            result.copy_(torch.addcmul(bias, centred, scale * weight))
            means.append(mean)
            scales.append(scale)
        ctx.save_for_backward(x, weight, torch.cat(means), torch.cat(scales))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        return *_Gradient.apply(grad, *ctx.saved_tensors), None


class _Gradient(torch.autograd.Function):
    """c·(g - m - y·s), Σgy and Σg: the gradients of x, w and b."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, w: Tensor, mean: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out, ms, ss = torch.empty_like(x), [], []
        for g_, x_, mean_, r_, result in _few(g, x, mean, r, out):
            g_, y = _wide(g_), _standard(x_, mean_, r_)
            m, s, c = _mean(g_), _mean(g_ * y), r_ * w
            result.copy_(torch.addcmul(-c * m, g_, c).addcmul_(y, c * s, value=-1))
            ms.append(m)
            ss.append(s)
        m, s = torch.cat(ms), torch.cat(ss)
        ctx.save_for_backward(g, x, w, mean, r, m, s)
        ctx.set_materialize_grads(False)
        count = x.shape[2] * x.shape[3]
        return out, count * s.sum(0, keepdim=True), count * m.sum(0, keepdim=True)

    @staticmethod
    @once_differentiable  # third derivatives are nobody's
    def backward(ctx: Any, k: Tensor | None, k_w: Tensor | None, k_b: Tensor | None) -> tuple[Any, ...]:
        g, x, w, mean, r, m, s = ctx.saved_tensors
        k = torch.zeros_like(x) if k is None else k
        k_w = torch.zeros_like(w) if k_w is None else k_w
        k_b = torch.zeros_like(w) if k_b is None else k_b
        grad_g, grad_x, grad_w = torch.empty_like(g), torch.empty_like(x), torch.zeros_like(w)
        for k_, g_, x_, mean_, r_, m_, s_, to_g, to_x in _few(k, g, x, mean, r, m, s, grad_g, grad_x):
            k_, g_, y, c = _wide(k_), _wide(g_), _standard(x_, mean_, r_), r_ * w
            mean_k, mean_ky, mean_kg = _mean(k_), _mean(k_ * y), _mean(k_ * g_)
            cross = k_w - c * mean_ky
            to_g.copy_(torch.addcmul(k_b - c * mean_k, k_, c).addcmul_(y, cross))
            # At y it is cross·g - c·s·k; from there to x as in the first derivative, and r depends on x as well.
            at_c = mean_kg - m_ * mean_k - s_ * mean_ky  # divided by H·W, like all means
            flat = cross * m_ - c * s_ * mean_k
            along = (cross - c * mean_ky) * s_ + at_c * c
            to_x.copy_(torch.addcmul(-r_ * flat, k_, -r_ * c * s_).addcmul_(g_, r_ * cross).addcmul_(y, -r_ * along))
            grad_w += x.shape[2] * x.shape[3] * (r_ * at_c).sum(0, keepdim=True)
        return grad_g, grad_x, grad_w, None, None


def _standard(x: Tensor, mean: Tensor, r: Tensor) -> Tensor:
    return (_wide(x) - mean).mul_(r)


def _few(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """A few pictures of each tensor at a time; the first one is a map."""
    return zip(*(t.split(max(1, PART // tensors[0][0].numel())) for t in tensors), strict=True)


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)


def _wide(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
