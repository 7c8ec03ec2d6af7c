"""The state of a GAN's training: both networks, their optimisers, the EMA, the extras, the clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from kaogan.config.recipe import Recipe
from kaogan.core.checkpoint import load_module, load_optimizer, optimizer_tensors, part
from kaogan.core.ema import EMA
from kaogan.core.errors import UsageError
from kaogan.core.rng import seed_for
from kaogan.core.schema import Schema
from kaogan.losses.extras import Extra, build_extras
from kaogan.networks import build_discriminator, build_generator
from kaogan.networks.base import Discriminator, Generator
from kaogan.networks.stylegan import is_style_generator
from kaogan.training.optimizers import build_optimizer, freeze, set_learning_rate
from kaogan.training.phases import Network, build_phases, lazy_ratio

NETWORKS: tuple[Network, ...] = ("generator", "discriminator")


@dataclass
class TrainState:
    """What a checkpoint holds."""

    generator: Generator
    discriminator: Discriminator
    ema: EMA
    generator_optim: torch.optim.Optimizer
    discriminator_optim: torch.optim.Optimizer
    generator_scaler: torch.amp.GradScaler
    discriminator_scaler: torch.amp.GradScaler
    extras: dict[str, Extra]
    path_mean: Tensor
    """The mean length of paths through a style network, a scalar."""
    images_seen: int = 0
    """The clock: real images shown to the discriminator."""
    seconds: float = field(default=0.0)
    """Time spent training, over all sessions."""

    def networks(self) -> list[nn.Module]:
        return [self.generator, self.discriminator]

    def set_learning_rates(self, recipe: Recipe) -> None:
        """Learning rates, betas and the EMA's half-life as they are at this clock."""
        clock, annealing = self.images_seen, recipe.optim.annealing
        for name in NETWORKS:
            set_learning_rate(getattr(self, f"{name}_optim"), getattr(self, name), name, recipe, clock)
        self.ema.halflife = annealing.at(clock, recipe.training.ema_halflife, annealing.ema_halflife)

    def statistics(self) -> dict[str, Tensor]:
        """Running statistics, which every pass moves: the networks' buffers, the mean path length, those of extras."""
        found = {"path_mean": self.path_mean}
        found |= {name: getattr(module, key) for name, (module, key) in self._buffers.items()}
        for extra_name, extra in self.extras.items():
            found |= {f"extras/{extra_name}/{key}": value for key, value in extra.statistics.items()}
        return found

    def set_statistics(self, values: dict[str, Tensor]) -> None:
        self.path_mean = values["path_mean"]
        for name, (module, key) in self._buffers.items():
            setattr(module, key, values[name])
        for extra_name, extra in self.extras.items():
            extra.statistics = part(values, f"extras/{extra_name}/")

    @cached_property
    def _buffers(self) -> dict[str, tuple[nn.Module, str]]:
        """Those that a checkpoint holds, by name: the module that each belongs to, and its name there."""
        found = {}
        for network in NETWORKS:
            module: nn.Module = getattr(self, network)
            kept = module.state_dict().keys()
            for name, _ in module.named_buffers():
                owner, _, key = name.rpartition(".")
                if name in kept:
                    found[f"{network}/{name}"] = module.get_submodule(owner), key
        return found

    def state_dict(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Flat named tensors and plain numbers, for a checkpoint."""
        tensors: dict[str, Tensor] = {}
        for name in NETWORKS:
            module = getattr(self, name)
            tensors |= {f"{name}/{key}": value for key, value in module.state_dict().items()}
            tensors |= optimizer_tensors(f"{name}_optim", module, getattr(self, f"{name}_optim"))
        tensors |= {f"ema/{key}": value for key, value in self.ema.module.named_parameters()}
        extras: dict[str, dict[str, Any]] = {}
        for extra_name, extra in self.extras.items():
            for key, value in extra.state_dict().items():
                if isinstance(value, Tensor):
                    tensors[f"extras/{extra_name}/{key}"] = value
                else:
                    extras.setdefault(extra_name, {})[key] = value
        numbers = {
            "clock": self.images_seen,
            "seconds": self.seconds,
            "generator_scaler": self.generator_scaler.state_dict(),
            "discriminator_scaler": self.discriminator_scaler.state_dict(),
            "path_mean": float(self.path_mean),
            "extras": extras,
        }
        return tensors, numbers

    @torch.no_grad()
    def load_state_dict(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """The inverse. Raises ValueError (with what differs) when the tensors are of other networks."""
        tensors, numbers = current_names(tensors, numbers)
        for name in NETWORKS:
            load_module(name, getattr(self, name), part(tensors, f"{name}/"))
        for key, value in self.ema.module.named_parameters():
            value.copy_(tensors[f"ema/{key}"])
        for name in NETWORKS:
            load_optimizer(f"{name}_optim", getattr(self, name), getattr(self, f"{name}_optim"), tensors)
        for extra_name, extra in self.extras.items():
            kept = part(tensors, f"extras/{extra_name}/")
            extra.load_state_dict({**kept, **numbers["extras"].get(extra_name, {})})
        self.images_seen, self.seconds = int(numbers["clock"]), float(numbers["seconds"])
        for name in NETWORKS:
            if kept := numbers[f"{name}_scaler"]:  # empty: saved without one, as on a CPU; it begins anew
                getattr(self, f"{name}_scaler").load_state_dict(kept)
        self.path_mean.fill_(numbers.get("path_mean", 0.0))


def build_train_state(recipe: Recipe, schema: Schema, device: torch.device, precision: str) -> TrainState:
    """Fresh networks, their initial weights drawn from the recipe's seed and nothing else."""
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
    phases, optim = build_phases(recipe), recipe.optim
    freeze(generator, "generator", optim.generator)
    freeze(discriminator, "discriminator", optim.discriminator)
    scaled = precision == "fp16"
    return TrainState(
        generator,
        discriminator,
        EMA(generator, recipe.training.ema_halflife, recipe.training.ema_rampup),
        build_optimizer(generator, optim, optim.generator, lazy_ratio(phases, "generator")),
        build_optimizer(discriminator, optim, optim.discriminator, lazy_ratio(phases, "discriminator")),
        torch.amp.GradScaler(device.type, enabled=scaled),
        torch.amp.GradScaler(device.type, enabled=scaled),
        build_extras(recipe),
        torch.zeros([], device=device),
    )


def compilable(recipe: Recipe, generator: nn.Module) -> tuple[Network, ...]:
    """The networks that torch.compile can take, which differentiates once: no discriminator under gradient penalties,
    and no style generator, whose parts are called one by one. Raises UsageError when none is left."""
    penalties = recipe.penalties
    twice = any((penalties.gradient_penalty.weight, penalties.r1.weight, penalties.r2.weight))
    fit: list[Network] = [] if is_style_generator(generator) else ["generator"]
    fit += [] if twice else ["discriminator"]
    if not fit:
        raise UsageError(
            f"--compile can do nothing for {recipe.name}: torch.compile takes no gradients of gradients, which its "
            "penalties need, and no style generator; leave it out"
        )
    return tuple(fit)


def check_networks(recipe: Recipe) -> None:
    """Raise UsageError when the networks cannot make the recipe's pictures: at once, before any data is read."""
    size = {"image_size": recipe.image_size, "channels": recipe.channels}
    with torch.device("meta"):
        generator = build_generator(recipe.generator, latent_size=recipe.latent.size, attribute_size=0, **size)
        build_discriminator(recipe.discriminator, attribute_sizes=(), **size)
    if recipe.penalties.path_length.weight and not is_style_generator(generator):
        raise UsageError(
            "'penalties.path_length.weight' needs a StyleGAN generator: set generator.family to stylegan2, or this to 0"
        )
    for extra in build_extras(recipe).values():
        if extra.active:
            extra.check(generator)
    if recipe.run.compile:
        compilable(recipe, generator)


def current_names(tensors: dict[str, Tensor], numbers: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A checkpoint of an earlier version under the names of now."""
    if "extras" in numbers:
        return tensors, numbers
    renamed = {"average/": "ema/", "memory/": "extras/replay/"}
    for old, new in renamed.items():
        tensors = {new + k.removeprefix(old) if k.startswith(old) else k: v for k, v in tensors.items()}
    return tensors, {**numbers, "extras": {"augment": numbers.get("adaptive", {})}}
