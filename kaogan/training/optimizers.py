"""Optimisers of both networks and their schedules, which are functions of the clock, not states."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from kaogan.config.recipe import NetworkOptim, Optim, Recipe
from kaogan.core.errors import UsageError, nearest
from kaogan.networks.base import Discriminator, Generator
from kaogan.training.phases import Network, build_phases, lazy_ratio


def build_optimizer(module: nn.Module, optim: Optim, own: NetworkOptim, lazy: float = 1.0) -> torch.optim.Optimizer:
    """An optimiser with the fastest implementation that the device has; ``lazy``: see ``lazy_ratio``."""
    parameters = list(module.parameters())
    common: dict[str, Any] = {
        "lr": (own.lr or optim.lr) * lazy,
        "weight_decay": optim.weight_decay if own.weight_decay is None else own.weight_decay,
    }
    first, second = own.betas or optim.betas
    betas = (first**lazy, second**lazy)
    fused = parameters[0].device.type in ("cpu", "cuda", "mps")
    if optim.name == "adam":
        return torch.optim.Adam(parameters, betas=betas, eps=optim.eps, fused=fused, **common)
    if optim.name == "adamw":
        return torch.optim.AdamW(parameters, betas=betas, eps=optim.eps, fused=fused, **common)
    if optim.name == "rmsprop":
        return torch.optim.RMSprop(
            parameters, foreach=True, alpha=optim.alpha, eps=optim.eps, momentum=optim.momentum, **common
        )
    # Its fused form fails when only some weights have moved before, as when frozen ones begin to learn.
    return torch.optim.SGD(parameters, momentum=optim.momentum, foreach=True, **common)


def freeze(module: nn.Module, network: Network, own: NetworkOptim) -> None:
    """Keep the weights that ``frozen`` names as they are. Raises UsageError for a name that no weight begins with, and
    when no weight is left that learns."""
    parameters = dict(module.named_parameters())
    for beginning in own.frozen:
        chosen = [value for name, value in parameters.items() if f"{name}.".startswith(f"{beginning}.")]
        if not chosen:
            layers = dict.fromkeys(".".join(name.split(".")[:2]) for name in parameters)
            hint = nearest(beginning, layers)
            raise UsageError(f"optim.{network}.frozen: no weight of the {network} begins with '{beginning}'{hint}")
        for value in chosen:
            value.requires_grad_(False)
    if own.frozen and not any(value.requires_grad for value in parameters.values()):
        raise UsageError(f"optim.{network}.frozen leaves no weight of the {network} that learns: name fewer")


def set_learning_rate(
    optimizer: torch.optim.Optimizer,
    network: Generator | Discriminator,
    name: Network,
    recipe: Recipe,
    images_seen: int,
) -> None:
    """Learning rate and betas at ``images_seen``, after the recipe's schedule and annealing, and as the network asks:
    ``lr_multiplier`` is also where it thaws what it keeps frozen at first."""
    optim, own = recipe.optim, getattr(recipe.optim, name)
    lazy = lazy_ratio(build_phases(recipe), name)
    multiplier = network.lr_multiplier(images_seen)
    first, second = own.betas or optim.betas
    for group in optimizer.param_groups:
        group["lr"] = (own.lr or optim.lr) * optim.schedule.factor(images_seen) * multiplier * lazy
        if optim.annealing.beta2 is not None and "betas" in group:
            group["betas"] = (first**lazy, optim.annealing.at(images_seen, second, optim.annealing.beta2) ** lazy)
