"""Training of the tagger: one function, resumed by running it again."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.aux_models.tagger.network import ATTRIBUTES, Architecture, TaggerNetwork
from kaogan.core import checkpoint
from kaogan.core.device import choose_device, choose_precision
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.meters import Meters
from kaogan.core.rng import seed_for
from tools.tagger.examples import MAIN, POLISH, Batch, Examples


@dataclass(frozen=True)
class Settings:
    """Examples are shown in two phases: ``images`` of the main mix, with ``warmup`` of them at a rising rate and the
    last ``cooldown`` (a share) at a falling one; then ``polish`` of the polishing mix, from ``polish_rate`` times the
    rate down. ``average``: decay of the weights' moving average for each step."""

    images: int = 300_032
    polish: int = 150_016
    polish_rate: float = 0.6
    batch_size: int = 64
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: int = 12_000
    cooldown: float = 0.35
    average: float = 0.998
    label_smoothing: float = 0.0
    seed: int = 0

    @property
    def total(self) -> int:
        return self.images + self.polish


@dataclass
class Learner:
    """Everything that changes during training."""

    network: TaggerNetwork
    average: TaggerNetwork
    optimiser: torch.optim.Optimizer
    clock: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Step:
    clock: int
    total: int
    losses: dict[str, float]
    images_per_second: float


def train(
    examples: Examples,
    settings: Settings,
    folder: Path,
    architecture: Architecture | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    save_every: float = 60,
) -> TaggerNetwork:
    """Train in ``folder`` from its newest checkpoint on and return the averaged network, in eval mode.

    ``save_every`` is in seconds. Ctrl-C leaves a checkpoint. Raises UsageError when the folder holds a training with
    other settings, KaoganError when the disk or the training fails.
    """
    architecture = architecture or Architecture()
    precision = choose_precision("auto", choose_device("cpu"))
    learner = start(architecture, settings)
    resume(learner, folder, settings)
    meters, began, saved, first = Meters(), time.monotonic(), time.monotonic(), learner.clock
    try:
        while learner.clock < settings.total:
            mix = MAIN if learner.clock < settings.images else POLISH
            batch = examples.draw(learner.clock // settings.batch_size, settings.batch_size, mix)
            for group in learner.optimiser.param_groups:
                group["lr"] = settings.learning_rate * rate_at(learner.clock, settings)
            for name, value in update(learner, batch, settings, precision).items():
                meters.add(name, value)
            learner.clock += settings.batch_size
            if learner.clock // settings.batch_size % 10 == 0:
                rate = (learner.clock - first) / (time.monotonic() - began)
                on_step(Step(learner.clock, settings.total, meters.take(), rate))
            if time.monotonic() - saved > save_every:
                keep(learner, folder, settings)
                saved = time.monotonic()
    except KeyboardInterrupt:
        keep(learner, folder, settings)
        raise
    keep(learner, folder, settings)
    return learner.average.eval()


def start(architecture: Architecture, settings: Settings) -> Learner:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(settings.seed, "tagger weights") % 2**63)
        network = TaggerNetwork(architecture)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(
                module.weight,
                nonlinearity="relu",
                generator=torch.Generator().manual_seed(
                    seed_for(settings.seed, f"tagger {tuple(module.weight.shape)}")
                ),
            )
    network = network.to(memory_format=torch.channels_last).train()
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.99), fused=True)
    return Learner(network, copy.deepcopy(network).eval().requires_grad_(False), optimiser)


def rate_at(clock: int, settings: Settings) -> float:
    """The share of the learning rate: a rise, a plateau, a fall to nothing, and once more a lower fall."""
    if clock >= settings.images:
        return settings.polish_rate * (settings.total - clock) / settings.polish
    rise = (clock + settings.batch_size) / max(1, settings.warmup)
    fall = (settings.images - clock) / max(1.0, settings.cooldown * settings.images)
    return min(1.0, rise, fall)


def update(learner: Learner, batch: Batch, settings: Settings, precision: str) -> dict[str, Tensor]:
    """One step of optimiser and average; the losses by name."""
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        _, logits = learner.network(batch.images)
    losses = losses_of({name: value.float() for name, value in logits.items()}, batch, settings)
    learner.optimiser.zero_grad(set_to_none=True)
    total = torch.stack(list(losses.values())).sum()
    if not torch.isfinite(total):
        raise KaoganError(f"the training diverged at {learner.clock:,} images; a lower learning rate may help")
    total.backward()
    torch.nn.utils.clip_grad_norm_(learner.network.parameters(), 5.0)
    learner.optimiser.step()
    step = learner.clock // settings.batch_size
    average(learner, min(settings.average, (1 + step) / (10 + step)))
    return {name: value.detach() for name, value in losses.items()}


def losses_of(logits: dict[str, Tensor], batch: Batch, settings: Settings) -> dict[str, Tensor]:
    """Cross-entropies over what is known of each example; an unknown counts nothing."""
    losses = {}
    for name in ATTRIBUTES:
        known = batch.labels[name] >= 0
        losses[name] = (
            F.cross_entropy(logits[name][known], batch.labels[name][known], label_smoothing=settings.label_smoothing)
            if known.any()
            else logits[name].sum() * 0
        )
    for name, target in (("face", batch.face[:, None]), ("quality", batch.quality[:, None]), ("faults", batch.faults)):
        known = (target >= 0).float()
        each = F.binary_cross_entropy_with_logits(logits[name], target.clamp_min(0), reduction="none")
        losses[name] = (each * known).sum() / known.sum().clamp_min(1)
    return losses


@torch.no_grad()
def average(learner: Learner, keep_share: float) -> None:
    """Weights and the norms' statistics alike: both belong to the averaged network."""
    source, target = learner.network.state_dict(), learner.average.state_dict()
    floats = [name for name, value in target.items() if value.is_floating_point()]
    torch._foreach_lerp_([target[n] for n in floats], [source[n] for n in floats], 1 - keep_share)


def keep(learner: Learner, folder: Path, settings: Settings) -> None:
    """Write a checkpoint; the one before is kept as well."""
    tensors = {f"network/{k}": v for k, v in learner.network.state_dict().items()}
    tensors |= {f"average/{k}": v for k, v in learner.average.state_dict().items()}
    for name, parameter in learner.network.named_parameters():
        tensors |= {f"optim/{name}/{k}": v for k, v in learner.optimiser.state.get(parameter, {}).items()}
    state = {"clock": learner.clock, "settings": _described(learner, settings)}
    checkpoint.save(folder, {k: v.contiguous() for k, v in tensors.items()}, state)
    checkpoint.rotate(folder, keep_last=2, keep_every=0)


@torch.no_grad()
def resume(learner: Learner, folder: Path, settings: Settings) -> None:
    """Go on from the newest good checkpoint, if any."""
    for path in reversed(checkpoint.find(folder)):
        try:
            tensors, state = checkpoint.load(path)
        except KaoganError:
            continue
        if state.get("settings") != _described(learner, settings):
            raise UsageError(f"{folder} holds a training of the tagger with other settings; choose another folder")
        for prefix, network in (("network/", learner.network), ("average/", learner.average)):
            network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        for name, parameter in learner.network.named_parameters():
            prefix = f"optim/{name}/"
            slots = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            for slot, value in slots.items():
                if value.shape == parameter.shape:  # in the layout of its weight, as the optimiser made it
                    value = torch.empty_like(parameter).copy_(value)
                learner.optimiser.state[parameter][slot] = value
        learner.clock = int(state["clock"])
        return


def _described(learner: Learner, settings: Settings) -> dict[str, Any]:
    """What must be the same to go on, as it comes back from JSON."""
    return json.loads(json.dumps({**asdict(settings), "architecture": learner.network.architecture.to_json()}))
