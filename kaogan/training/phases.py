"""The phases of a GAN's training: which network moves, on which losses, how often (after stylegan3's ``phases``).

n_critic, lazy penalties and penalties with optimiser steps of their own all follow from this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kaogan.config.recipe import Recipe

Network = Literal["generator", "discriminator"]


@dataclass(frozen=True)
class Phase:
    """One optimiser step of ``network`` on the sum of the losses that are due."""

    network: Network
    losses: dict[str, int]
    """Name -> at every how many-th update of the network it is due."""
    every: int = 1
    """Batches of reals between two updates of the network."""

    def is_due(self, batch: int) -> bool:
        """Whether the network is updated after batch number ``batch``."""
        return (batch + 1) % self.every == 0

    def due_losses(self, batch: int) -> list[str]:
        """The losses of that update; when there are none, the phase is left out."""
        return [name for name, every in self.losses.items() if (batch // self.every) % every == 0]


def build_phases(recipe: Recipe) -> list[Phase]:
    """Those of a recipe, in the order in which they are taken within a batch."""
    penalties, n_critic = recipe.penalties, recipe.training.n_critic
    lazy: dict[Network, dict[str, int]] = {
        "discriminator": {
            name: settings.every
            for name in ("gradient_penalty", "r1", "r2")
            if (settings := getattr(penalties, name)).weight
        },
        "generator": {"path_length": penalties.path_length.every} if penalties.path_length.weight else {},
    }
    intervals: list[tuple[Network, int]] = [("discriminator", 1), ("generator", n_critic)]
    phases = []
    for network, every in intervals:
        if penalties.separate_step and lazy[network]:
            phases += [Phase(network, {"main": 1}, every), Phase(network, lazy[network], every)]
        else:
            phases += [Phase(network, {"main": 1} | lazy[network], every)]
    return phases


def lazy_ratio(phases: list[Phase], network: Network) -> float:
    """c of lazy regularisation (Karras et al. 2020, appendix B): with a further step after every q-th one, c = q/(q+1)
    of the learning rate and the betas to the power c make q + 1 steps do what q did. 1 without such steps."""
    further = [
        min(phase.losses.values()) for phase in phases if phase.network == network and "main" not in phase.losses
    ]
    return min(further) / (min(further) + 1) if further else 1.0
