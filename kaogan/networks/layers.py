"""Layers that several families use. Maps are (N, C, H, W); all keep a channels-last layout as they find it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from kaogan.networks.base import Init, Norm
from kaogan.networks.cpu.instance_norm import InstanceNorm


def full_precision(x: Tensor) -> torch.autocast:
    """No autocast inside: for small layers whose rounding would move everything after them."""
    return torch.autocast(x.device.type, enabled=False)


class BatchNorm2d(nn.BatchNorm2d):
    """PyTorch's, whose count of batches stays on the host: there it costs a card no launch."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        count = self.num_batches_tracked
        super()._apply(fn, recurse)
        self.num_batches_tracked = count
        return self


class ModulatedBatchNorm2d(nn.Module):
    """Batch norm whose scale and shift come from the latent: maps (N, C, H, W), styles (N, S) -> (N, C, H, W).

    Self-modulation (Chen et al. 2019, arXiv:1810.01365). At first it is a plain batch norm.
    """

    def __init__(self, channels: int, style_size: int, eps: float):
        super().__init__()
        self.norm = BatchNorm2d(channels, eps=eps, affine=False)
        self.scale_shift = nn.Linear(style_size, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.scale_shift(style)[:, :, None, None].chunk(2, 1)
        scale, norm = 1 + scale, self.norm
        if norm.training:  # which the average of weights sets alone, to measure statistics
            x = norm(x)
            return torch.addcmul(shift.to(x.dtype), x, scale.to(x.dtype))
        assert norm.running_var is not None and norm.running_mean is not None
        scale = scale * (norm.running_var + norm.eps).rsqrt()[:, None, None]  # norm and style in one pass over the map
        shift = shift - norm.running_mean[:, None, None] * scale
        return torch.addcmul(shift, x, scale).to(x.dtype)


def modulate(layers: nn.Sequential, x: Tensor, style: Tensor | None) -> Tensor:
    """``layers`` on x (N, C, H, W), styles (N, S) for those that are modulated."""
    for layer in layers:
        x = layer(x, style) if isinstance(layer, ModulatedBatchNorm2d) else layer(x)
    return x


def initialise_modulation(style: nn.Module | None, layers: nn.Module) -> None:
    """Weights of ``style``, the layer that styles come from, as He et al. 2015; no modulation at first."""
    if any(weight.is_meta for weight in layers.parameters()):
        return
    for part in layers.modules():
        if isinstance(part, ModulatedBatchNorm2d):
            nn.init.zeros_(part.scale_shift.weight)
            nn.init.zeros_(part.scale_shift.bias)
    for part in style.modules() if style is not None else ():
        if isinstance(part, nn.Linear):
            nn.init.kaiming_normal_(part.weight)
            nn.init.zeros_(part.bias)


class Attend(torch.autograd.Function):
    """Attention without scaling: queries and keys (N, D, L), values (N, C, L) -> (N, L, C).

    F.scaled_dot_product_attention has no second derivative on a CPU, which gradient penalties need, and the plain
    formula spends its time moving weights of N L L numbers through memory. Here a few pictures at a time stay in the
    cache, and the backward pass computes their weights again; it is made of differentiable steps itself.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        parts = [torch.bmm(_weights(q, k), v.transpose(1, 2)) for q, k, v in _few(query, key, value)]
        out = torch.cat(parts)
        ctx.save_for_backward(query, key, value, out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        query, key, value, out = ctx.saved_tensors
        # The inner product of each row of weights with its gradient, without touching the weights.
        inner = (grad * out).sum(2, keepdim=True)
        grads = []
        for q, k, v, g, i in _few(query, key, value, grad, inner):
            weights = _weights(q, k)
            slope = weights * (torch.bmm(g, v) - i)  # through the softmax
            # No product takes a transposed matrix of weights, which would be copied first.
            to_query = torch.bmm(slope, k.transpose(1, 2)).transpose(1, 2)
            grads.append((to_query, torch.bmm(q, slope), torch.bmm(g.transpose(1, 2), weights)))
        return tuple(map(torch.cat, zip(*grads, strict=True)))


def _weights(query: Tensor, key: Tensor) -> Tensor:
    """(N, queries, keys), each row sums to 1; in the precision of the queries."""
    return torch.bmm(query.transpose(1, 2), key).softmax(2).to(query.dtype)


def _few(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Some pictures of each tensor at a time: on a CPU as many as have about a million weights together, so that these
    stay in the cache; on a device, where each launch costs, as many as have 256 million."""
    length = tensors[0].shape[2]
    most = 2**20 if tensors[0].device.type == "cpu" else 2**28
    return zip(*(t.split(max(1, most // length**2)) for t in tensors), strict=True)


class SelfAttention(nn.Module):
    """Self-attention over positions, y = x + γ·V·Aᵀ, A = softmax(QᵀK) row by row, γ = 0 at first. (N, C, H, W) -> same.

    Zhang et al. 2019 (SAGAN) as in BaMSGAN: 1×1 convolutions with bias, queries and keys of C/8 channels, no scaling.
    """

    def __init__(self, channels: int):
        super().__init__()
        inner = max(channels // 8, 1)
        self.query = nn.Conv2d(channels, inner, 1)
        self.key = nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        # (N, queries, C) is the memory order of a channels-last map, so the way back is only a view.
        out = Attend.apply(query, key, value).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + self.gamma.to(out.dtype) * out


class LayerNorm(nn.Module):
    """nn.LayerNorm([C, H, W]), parameters of that shape too, without leaving the channels-last layout."""

    def __init__(self, channels: int, size: int, eps: float):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels, size, size))
        self.bias = nn.Parameter(torch.zeros(channels, size, size))

    def forward(self, x: Tensor) -> Tensor:
        if x.is_contiguous(memory_format=torch.channels_last):
            # Reordering the parameters is cheaper than reordering a batch.
            weight, bias = self.weight.permute(1, 2, 0), self.bias.permute(1, 2, 0)
            return F.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight, bias, self.eps).permute(0, 3, 1, 2)
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def norm_layers(kind: Norm, channels: int, size: int, eps: float) -> list[nn.Module]:
    """The normalisation of a map (N, channels, size, size) as a list of no or one module."""
    if kind == "batch":
        return [BatchNorm2d(channels, eps=eps)]
    if kind == "instance":
        return [InstanceNorm(channels, eps)]
    return [LayerNorm(channels, size, eps)] if kind == "layer" else []


def leaky_norm_layers(kind: Norm, channels: int, size: int, eps: float, slope: float) -> list[nn.Module]:
    """The same and a leaky ReLU, in one module where that is faster; as many layers either way."""
    if kind == "instance":
        return [InstanceNorm(channels, eps, slope), nn.Identity()]
    return [*norm_layers(kind, channels, size, eps), nn.LeakyReLU(slope, inplace=True)]


class ResidualBlock(nn.Module):
    """y = skip(x) + f(x), f = conv3×3, norm, leaky ReLU, conv3×3, norm; ``closing`` adds a leaky ReLU after the sum.

    (N, before, H, W) -> (N, after, H, W); the skip is a 1×1 convolution where the width changes. A ``slope`` of 0 is a
    ReLU. GANime's generators use it open, its discriminators closed; the ACGAN program's colouriser with slope 0 and
    no biases.
    """

    def __init__(
        self,
        before: int,
        after: int,
        size: int,
        *,
        norm: Norm,
        eps: float,
        slope: float,
        bias: bool = True,
        closing: bool = False,
    ):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1, bias=bias),
            *leaky_norm_layers(norm, after, size, eps, slope),
            nn.Conv2d(after, after, 3, padding=1, bias=bias),
            *norm_layers(norm, after, size, eps),
        )
        self.skip = nn.Identity() if before == after else nn.Conv2d(before, after, 1)
        self.closing = nn.LeakyReLU(slope, inplace=True) if closing else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.closing(self.skip(x) + self.body(x))


def initialise(module: nn.Module, how: Init) -> None:
    """Draw the weights anew, in place, from torch's global generator.

    ``dcgan``: convolutions and Linear ~ N(0, 0.02), batch norm ~ N(1, 0.02) (Radford et al. 2016 and GANime);
    ``glorot``: uniform, biases 0 (Keras); ``pytorch``: leave what the constructors drew.
    """
    if any(weight.is_meta for weight in module.parameters()):
        return  # PyTorch would import its compiler, for seconds, to draw nothing
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if how == "dcgan":
                nn.init.normal_(part.weight, 0, 0.02)
            elif how == "glorot":
                nn.init.xavier_uniform_(part.weight)
            # The published DCGAN initialisation leaves the biases of convolutions as PyTorch draws them.
            if part.bias is not None and (how == "glorot" or (how == "dcgan" and isinstance(part, nn.Linear))):
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d) and part.affine and how == "dcgan":
            nn.init.normal_(part.weight, 1, 0.02)
            nn.init.zeros_(part.bias)


def normalise_spectra(module: nn.Module) -> None:
    """Put spectral norm (Miyato et al. 2018) on every convolution in ``module`` but those of attention.

    Call it after ``initialise``, which looks for plain weights.
    """
    for part in list(module.children()):
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            spectral_norm(part)
        elif not isinstance(part, SelfAttention):
            normalise_spectra(part)
