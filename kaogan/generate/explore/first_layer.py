"""First layers of a generator: their linear map of the latent, and the activations behind it.

Found by running the network once with hooks, so that it works for every family.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kaogan.core.errors import KaoganError
from kaogan.generate.explore.latent_point import LatentPoint, points, stack_conditions, style_generator
from kaogan.generate.explore.optim_variables import exactly
from kaogan.generate.model import Model

_LINEAR = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@exactly
def first_map(model: Model) -> Tensor:
    """The matrix (F, Z) of the layers that take z, one below the other. For models without styles."""
    size = model.latent_size
    maps = []
    for layer, seen in _watch(model, points(model))[0]:
        basis = seen.new_zeros(size + 1, *seen.shape[1:])
        basis[1:, :size] = torch.eye(size).view(size, size, *[1] * (seen.ndim - 2))
        with torch.inference_mode():
            answers = layer(basis).flatten(1).float().cpu().clone()
        maps.append((answers[1:] - answers[:1]).T)  # the difference removes the bias
    return torch.cat(maps)


@exactly
def first_features(model: Model, points: Sequence[LatentPoint]) -> Tensor:
    """Input (N, F) of the first layer that does not take z, after normalization and activation. For models without
    styles."""
    chunks = [points[start : start + model.batch_size] for start in range(0, len(points), model.batch_size)]
    return torch.cat([_watch(model, some)[1].flatten(1).cpu() for some in chunks])


def style_maps(model: Model) -> list[tuple[int, Tensor]]:
    """(index of the style, matrix (F, W) of the affine layer that takes it) for each affine layer."""
    generator = style_generator(model)
    width = generator.mapping.w_avg.numel()
    affines: list[Any] = [module for name, module in generator.synthesis.named_modules() if name.endswith("affine")]
    # Each style is filled with its own index, which then reveals the input of an affine layer.
    numbered = torch.arange(float(generator.num_ws), device=model.device)[None, :, None].repeat(1, 1, width)
    taken: dict[nn.Module, int] = {}

    def watch(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        taken[layer] = round(float(inputs[0].flatten()[0]))

    with _hooked([(affine, watch) for affine in affines]), torch.inference_mode():
        generator.synthesis(numbered)
    return [(taken[affine], affine.weight.detach().float().cpu()) for affine in affines]


def _watch(model: Model, points: Sequence[LatentPoint]) -> tuple[list[tuple[nn.Module, Tensor]], Tensor]:
    """The linear layers that take z, each with its input, and the input of the first other one behind them."""
    taking: list[tuple[nn.Module, Tensor]] = []
    behind: list[Tensor] = []
    z = torch.stack([each.z for each in points]).to(model.device)
    conditions = stack_conditions(model, points)
    given = () if conditions is None else (conditions.to(model.device),)

    def watch(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if torch.equal(inputs[0].flatten(1)[:, : model.latent_size], z):
            taking.append((layer, inputs[0].detach().clone()))
        elif taking and not behind:
            behind.append(inputs[0].detach().clone())

    layers = [module for module in model.generator.modules() if isinstance(module, _LINEAR)]
    with _hooked([(layer, watch) for layer in layers]), torch.inference_mode():
        model.generator(z, *given)
    if not behind:
        family = model.config["generator"].get("family", "this")
        raise KaoganError(
            f"no linear layer of this generator ('{family}') takes z directly, so sefa and pca cannot work; "
            "use the method tagger"
        )
    return taking, behind[0]


@contextmanager
def _hooked(pairs: Sequence[tuple[nn.Module, Callable[..., None]]]) -> Iterator[None]:
    # The generator is shared: while this thread watches, another one may draw a film with it.
    here = threading.get_ident()

    def of_this_thread(hook: Callable[..., None]) -> Callable[..., None]:
        return lambda *call: hook(*call) if threading.get_ident() == here else None

    handles = [module.register_forward_pre_hook(of_this_thread(hook)) for module, hook in pairs]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
