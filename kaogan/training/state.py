"""The two players, their optimisers and everything else that training changes."""

from __future__ import annotations

import importlib
import math
import threading
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kaogan.config.recipe import Optim, PlayerOptim, Recipe
from kaogan.core.ema import MovingAverage
from kaogan.core.errors import UsageError
from kaogan.core.rng import seed_for
from kaogan.core.schema import Schema
from kaogan.networks import GENERATORS, build_discriminator, build_generator
from kaogan.training.augmentation import Adaptive
from kaogan.training.replay_buffer import Memory


@dataclass
class Players:
    """What a checkpoint holds. ``clock`` counts the real images shown to the discriminator."""

    generator: nn.Module
    discriminator: nn.Module
    average: MovingAverage
    generator_optim: torch.optim.Optimizer
    discriminator_optim: torch.optim.Optimizer
    generator_scaler: torch.amp.GradScaler
    discriminator_scaler: torch.amp.GradScaler
    memory: Memory
    adaptive: Adaptive
    path_mean: Tensor
    """The mean length of paths through a style network, a scalar."""
    clock: int = 0
    seconds: float = field(default=0.0)
    """Time spent training, over all sittings."""


def check_networks(recipe: Recipe) -> None:
    """Raise UsageError when the networks cannot make the recipe's pictures: at once, before any data is read."""
    for key, value in (
        ("penalties.path_length.weight", recipe.penalties.path_length.weight),
        ("extras.style_mixing", recipe.extras.style_mixing),
    ):
        if value and not GENERATORS[recipe.generator.family].has_style_space:
            raise UsageError(f"'{key}' needs a generator of styles: set generator.family to stylegan2, or it to 0")
    size = {"image_size": recipe.image_size, "channels": recipe.channels}
    with torch.device("meta"):
        build_generator(recipe.generator, latent_size=recipe.latent.size, attribute_size=0, **size)
        build_discriminator(recipe.discriminator, attribute_sizes=(), **size)


def build_players(recipe: Recipe, schema: Schema, device: torch.device, precision: str) -> Players:
    """Fresh players, their initial weights drawn from the recipe's seed and nothing else."""
    size = {"image_size": recipe.image_size, "channels": recipe.channels}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(recipe.run.seed, "init/generator"))
        generator = build_generator(
            recipe.generator, latent_size=recipe.latent.size, attribute_size=schema.size, **size
        )
        torch.manual_seed(seed_for(recipe.run.seed, "init/discriminator"))
        discriminator = build_discriminator(recipe.discriminator, attribute_sizes=schema.sizes, **size)
    layout = torch.channels_last if recipe.run.channels_last else torch.contiguous_format
    generator = generator.to(device).to(memory_format=layout).train()
    discriminator = discriminator.to(device).to(memory_format=layout).train()
    scaled = precision == "fp16"
    return Players(
        generator,
        discriminator,
        MovingAverage(generator, recipe.training.ema_halflife, recipe.training.ema_rampup),
        build_optimiser(generator, recipe.optim, recipe.optim.generator, lazy_share(recipe, "generator")),
        build_optimiser(discriminator, recipe.optim, recipe.optim.discriminator, lazy_share(recipe, "discriminator")),
        torch.amp.GradScaler(device.type, enabled=scaled),
        torch.amp.GradScaler(device.type, enabled=scaled),
        Memory(recipe.extras.memory.capacity),
        Adaptive(recipe.extras.augment.p),
        torch.zeros([], device=device),
    )


def lazy_share(recipe: Recipe, player: str) -> float:
    """c of lazy regularisation (Karras et al. 2020, appendix B): with a further step after every q-th one, c = q/(q+1)
    of the learning rate and the betas to the power c make q + 1 steps do what q did. 1 without such steps."""
    penalties = recipe.penalties
    lazy = (
        (penalties.path_length,)
        if player == "generator"
        else (penalties.r1, penalties.r2, penalties.gradient_penalty)
    )  # fmt: skip
    active = [penalty.every for penalty in lazy if penalty.weight]
    if not (penalties.own_step and active):
        return 1.0
    return min(active) / (min(active) + 1)


def build_optimiser(
    module: nn.Module, optim: Optim, own: PlayerOptim, lazy: float = 1.0
) -> torch.optim.Optimizer:  # fmt: skip
    """An optimiser with the fastest implementation that the device has."""
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
    # Its fused form fails when only some weights have moved before, as when a tagger thaws.
    return torch.optim.SGD(parameters, momentum=optim.momentum, foreach=True, **common)


def import_compiler_aside() -> None:
    """PyTorch's optimisers import its compiler, which takes seconds: in a thread, while the run is being set up.

    Making an optimiser would wait for it, to keep the compiler out of that; nothing here is compiled.
    """
    guarded = getattr(torch.optim.Optimizer.add_param_group, "__wrapped__", None)
    if guarded is not None:
        guarded.__dict__.setdefault("__dynamo_disable", guarded)
    threading.Thread(target=importlib.import_module, args=("torch._dynamo",), daemon=True).start()


def set_learning_rates(players: Players, recipe: Recipe) -> None:
    """The schedules, also those of ``annealing``, are functions of the clock, not states."""
    optim, clock = recipe.optim, players.clock
    factor = optim.schedule.factor(clock)
    for name, optimiser, own in (
        ("generator", players.generator_optim, optim.generator),
        ("discriminator", players.discriminator_optim, optim.discriminator),
    ):
        lazy, player = lazy_share(recipe, name), getattr(players, name)
        pace = player.lr_multiplier(clock)
        first, second = own.betas or optim.betas
        for group in optimiser.param_groups:
            group["lr"] = (own.lr or optim.lr) * factor * pace * lazy
            if optim.annealing.beta2 is not None and "betas" in group:
                group["betas"] = (first**lazy, optim.annealing.at(clock, second, optim.annealing.beta2) ** lazy)
    players.average.halflife = optim.annealing.at(clock, recipe.training.ema_halflife, optim.annealing.ema_halflife)


def collect(players: Players) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The players as flat named tensors and plain numbers, for a checkpoint."""
    tensors: dict[str, Tensor] = {}
    for name, module in (("generator", players.generator), ("discriminator", players.discriminator)):
        tensors |= {f"{name}/{key}": value for key, value in module.state_dict().items()}
    tensors |= {f"average/{key}": value for key, value in players.average.module.named_parameters()}
    for name, module, optimiser in _optimisers(players):
        for key, parameter in module.named_parameters():
            for slot, value in optimiser.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    tensors[f"{name}_optim/{key}/{slot}"] = value
    tensors |= {f"memory/{key}": value for key, value in players.memory.state().items()}
    numbers = {
        "clock": players.clock,
        "seconds": players.seconds,
        "generator_scaler": players.generator_scaler.state_dict(),
        "discriminator_scaler": players.discriminator_scaler.state_dict(),
        "adaptive": asdict(players.adaptive),
        "path_mean": float(players.path_mean),
    }
    return tensors, numbers


@torch.no_grad()
def restore(players: Players, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """The inverse of ``collect``. Raises ValueError (with what differs) when the tensors are of other networks."""
    for name, module in (("generator", players.generator), ("discriminator", players.discriminator)):
        own = {k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")}
        expected = module.state_dict()
        wrong = sorted(own.keys() ^ expected.keys()) or [k for k in own if own[k].shape != expected[k].shape]
        if wrong:
            raise ValueError(f"{name} has other weights ({wrong[0]} and {len(wrong) - 1} more)")
        module.load_state_dict(own)
    for key, value in players.average.module.named_parameters():
        value.copy_(tensors[f"average/{key}"])
    for name, module, optimiser in _optimisers(players):
        optimiser.state.clear()
        for key, parameter in module.named_parameters():
            prefix = f"{name}_optim/{key}/"
            slots = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            if slots.keys() != _slots(optimiser):
                continue  # of another optimiser, whose memories mean nothing to this one
            for slot, saved in slots.items():
                if saved.shape == parameter.shape:  # as the optimiser made it: in the layout of its weight
                    saved = torch.empty_like(parameter, dtype=saved.dtype).copy_(saved)
                optimiser.state[parameter][slot] = saved
    players.memory.load_state({k.removeprefix("memory/"): v for k, v in tensors.items() if k.startswith("memory/")})
    players.clock, players.seconds = int(numbers["clock"]), float(numbers["seconds"])
    players.generator_scaler.load_state_dict(numbers["generator_scaler"])
    players.discriminator_scaler.load_state_dict(numbers["discriminator_scaler"])
    for key, value in numbers.get("adaptive", {}).items():  # absent from checkpoints of older versions
        setattr(players.adaptive, key, value)
    players.path_mean.fill_(numbers.get("path_mean", 0.0))


@torch.no_grad()
def finite(players: Players) -> bool:
    """Whether every weight is a number: what is not must never replace a good checkpoint."""
    for module in (players.generator, players.discriminator):
        norms = torch._foreach_norm(list(module.parameters()))
        if not math.isfinite(float(torch.stack(norms).sum())):
            return False
    return True


def _slots(optimiser: torch.optim.Optimizer) -> set[str]:
    """What an optimiser remembers of each weight that has moved."""
    if isinstance(optimiser, torch.optim.Adam | torch.optim.AdamW):
        return {"step", "exp_avg", "exp_avg_sq"}
    momentum = {"momentum_buffer"} if optimiser.defaults["momentum"] else set()
    return momentum | ({"step", "square_avg"} if isinstance(optimiser, torch.optim.RMSprop) else set())


def _optimisers(players: Players) -> list[tuple[str, nn.Module, torch.optim.Optimizer]]:
    return [
        ("generator", players.generator, players.generator_optim),
        ("discriminator", players.discriminator, players.discriminator_optim),
    ]
