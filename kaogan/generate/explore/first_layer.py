"""How a generator takes in its latent: the linear map of its first layer, and what comes out behind it.

Found by running the network once and watching its layers, so that it works for every family.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kaogan.core.errors import KaoganError
from kaogan.generate.explore.latent_point import Point, points
from kaogan.generate.model import Model
from kaogan.networks.base import is_style_generator

_LINEAR = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def first_map(model: Model) -> Tensor:
    """The matrix (F, Z) that z meets first. For models that are no style network."""
    layer, seen, _ = _watch(model, points(model))
    size = model.latent_size
    basis = seen.new_zeros(size + 1, *seen.shape[1:])
    basis[1:, :size] = torch.eye(size).view(size, size, *[1] * (seen.ndim - 2))
    with torch.inference_mode():
        answers = layer(basis).flatten(1).float().cpu().clone()
    return (answers[1:] - answers[:1]).T  # what a bias adds is in both


def first_features(model: Model, points: Sequence[Point]) -> Tensor:
    """What reaches the second layer, normalised and activated, (N, F). For models that are no style network."""
    chunks = [points[start : start + model.chunk] for start in range(0, len(points), model.chunk)]
    return torch.cat([_watch(model, some)[2].flatten(1).cpu() for some in chunks])


def style_maps(model: Model) -> list[tuple[int, Tensor]]:
    """(which of the L styles, the matrix (F, W) of the affine layer that takes it in), for each layer."""
    generator = model.generator
    assert is_style_generator(generator)
    width = generator.mapping.w_avg.numel()
    affines: list[Any] = [module for name, module in generator.synthesis.named_modules() if name.endswith("affine")]
    # Each style holds nothing but its own number, which then tells where an affine layer takes its input from.
    numbered = torch.arange(float(generator.num_ws), device=model.device)[None, :, None].repeat(1, 1, width)
    taken: dict[nn.Module, int] = {}

    def watch(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        taken[layer] = round(float(inputs[0].flatten()[0]))

    with _hooked([(affine, watch) for affine in affines]), torch.inference_mode():
        generator.synthesis(numbered)
    return [(taken[affine], affine.weight.detach().float().cpu()) for affine in affines]


def _watch(model: Model, points: Sequence[Point]) -> tuple[nn.Module, Tensor, Tensor]:
    """The linear layer that takes z in, its input, and the input of the next linear layer that runs."""
    seen: list[tuple[nn.Module, Tensor]] = []
    z = torch.stack([each.z for each in points]).to(model.device)
    codes = [torch.stack([each.code for each in points if each.code is not None])] if model.attributes else []

    def watch(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        flat = inputs[0].flatten(1)[:, : model.latent_size]
        if len(seen) == 1 or (not seen and torch.equal(flat, z)):
            seen.append((layer, inputs[0].detach().clone()))

    layers = [module for module in model.generator.modules() if isinstance(module, _LINEAR)]
    with _hooked([(layer, watch) for layer in layers]), torch.inference_mode():
        model.generator(z, *(code.to(model.device) for code in codes))
    if len(seen) < 2:
        family = model.config["generator"].get("family", "this")
        raise KaoganError(
            f"no linear layer of this network ('{family}') takes z in as it is, so neither sefa nor pca can tell its "
            "directions; the method tagger can"
        )
    (layer, first), (_, second) = seen
    return layer, first, second


@contextmanager
def _hooked(pairs: Sequence[tuple[nn.Module, Callable[..., None]]]) -> Iterator[None]:
    handles = [module.register_forward_pre_hook(hook) for module, hook in pairs]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
