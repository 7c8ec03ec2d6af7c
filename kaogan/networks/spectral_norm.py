"""Spectral norm of all layers of a network at once, in few launches, for devices where each launch costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm


@contextmanager
def normalised_once(network: nn.Module) -> Iterator[None]:
    """Within it each layer's spectral norm (Miyato et al. 2018) takes one power iteration for all passes together.

    Weights, their gradients of any order and the vectors u and v are those of PyTorch's ``spectral_norm``, in float32
    under autocast too.
    """
    layers: list[Any] = [layer for layer in network.modules() if _is_normalised(layer)]
    normalised = [layer.parametrizations["weight"] for layer in layers]
    weights = _normalise(normalised) if normalised else ()
    for parametrization, weight in zip(normalised, weights, strict=True):
        parametrization.forward = lambda weight=weight: weight
    try:
        yield
    finally:
        for parametrization in normalised:
            del parametrization.forward  # what its class defines is seen again


def _is_normalised(layer: nn.Module) -> bool:
    """Whether spectral norm, and nothing else, makes its weight, by one iteration a pass."""
    if not (layer.training and parametrize.is_parametrized(layer, "weight")):
        return False
    parts = layer.parametrizations["weight"]  # type: ignore[index]
    return len(parts) == 1 and isinstance(parts[0], _SpectralNorm) and getattr(parts[0], "n_power_iterations", 0) == 1


def _normalise(parametrizations: Sequence[Any]) -> Sequence[Tensor]:
    norms, originals = [parts[0] for parts in parametrizations], [parts.original for parts in parametrizations]
    dims = tuple(norm.dim for norm in norms)
    with torch.autocast(originals[0].device.type, enabled=False):
        with torch.no_grad():
            matrices = [_rows(weight, dim) for weight, dim in zip(originals, dims, strict=True)]
            us, _ = _unit([torch.mv(m, norm._v) for m, norm in zip(matrices, norms, strict=True)], norms[0].eps)
            # v is W'u over its length, so this length is u'Wv, the norm.
            vs, sigmas = _unit([torch.mv(m.T, u) for m, u in zip(matrices, us, strict=True)], norms[0].eps)
            torch._foreach_copy_([norm._u for norm in norms] + [norm._v for norm in norms], us + vs)
        return _Normalised.apply(us, vs, sigmas, dims, *originals)[1:]


def _unit(vectors: list[Tensor], eps: float) -> tuple[list[Tensor], list[Tensor]]:
    """The vectors over their lengths, and these."""
    lengths, sizes = torch._foreach_norm(vectors), [len(vector) for vector in vectors]
    of_numbers = torch.cat([length.expand(size) for length, size in zip(lengths, sizes, strict=True)])
    return list((torch.cat(vectors) / of_numbers.clamp_min(eps)).split(sizes)), list(lengths)


def _rows(weight: Tensor, dim: int) -> Tensor:
    """The matrix (outputs, everything else) of a weight."""
    return weight.transpose(0, dim).flatten(1)


class _Normalised(torch.autograd.Function):
    """Weights W -> the norms u'Wv (L,), and W over its norm for each; u and v are constants (Miyato et al., eq. 12)."""

    @staticmethod
    def forward(
        ctx: Any, us: list[Tensor], vs: list[Tensor], sigmas: list[Tensor], dims: tuple[int, ...], *weights: Tensor
    ) -> tuple[Tensor, ...]:
        normalised = [weight / sigma for weight, sigma in zip(weights, sigmas, strict=True)]
        stacked = torch.stack(sigmas)
        ctx.us, ctx.vs, ctx.dims = us, vs, dims
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(stacked, *normalised)
        return stacked, *normalised

    @staticmethod
    def backward(ctx: Any, of_sigmas: Tensor | None, *grads: Any) -> tuple[Tensor | None, ...]:
        # Of differentiable steps, on saved outputs, for gradients of gradients. A layer that was not used has none.
        stacked, *normalised = ctx.saved_tensors
        sigmas, us, vs = stacked.unbind(), ctx.us, ctx.vs
        if of_sigmas is not None:
            grads = tuple(torch.zeros_like(w) if g is None else g for g, w in zip(grads, normalised, strict=True))
        used = [number for number, grad in enumerate(grads) if grad is not None]
        found: list[Tensor | None] = [None] * len(grads)
        if not used:
            return None, None, None, None, *found
        alongs = torch.stack([_inner(grads[number], normalised[number]) for number in used])
        shares = -alongs / torch.stack([sigmas[number] for number in used])
        if of_sigmas is not None:
            shares = shares + torch.stack([of_sigmas[number] for number in used])
        spread = torch.cat([share.expand(len(us[number])) for share, number in zip(shares.unbind(), used, strict=True)])
        scaled = (spread * torch.cat([us[number] for number in used])).split([len(us[number]) for number in used])
        for u, number in zip(scaled, used, strict=True):
            turned = grads[number].transpose(0, ctx.dims[number])
            outer = torch.outer(u, vs[number]).view(turned.shape).transpose(0, ctx.dims[number])
            found[number] = torch.addcdiv(outer, grads[number], sigmas[number])
        return None, None, None, None, *found


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of two tensors, in one launch where their numbers lie in one order."""
    if a.ndim == 4 and all(t.is_contiguous(memory_format=torch.channels_last) for t in (a, b)):
        a, b = a.permute(0, 2, 3, 1), b.permute(0, 2, 3, 1)
    return torch.dot(a.reshape(-1), b.reshape(-1))
