"""Training of the tagger, resumed by running it again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.aux_models.tagger.network import ATTRIBUTES, Architecture, TaggerNetwork
from kaogan.core.device import choose_device, choose_precision
from kaogan.core.ema import EMA
from kaogan.core.resume import resume
from kaogan.core.rng import seed_for
from kaogan.core.training_loop import Intervals, TrainingLoop, TrainProgress
from tools.network_state import NetworkState
from tools.tagger.examples import MAIN, POLISH, Batch, Examples

LOSS_LIMIT = 1e6


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
    checkpoint_every: int = 12_800,
) -> TaggerNetwork:
    """Train in ``folder`` from its newest good checkpoint on and return the averaged network, in eval mode.

    ``on_step`` is told of every tenth step. Ctrl-C leaves a checkpoint and raises KeyboardInterrupt. Raises UsageError
    when the folder holds a training with other settings, KaoganError when the disk or the training fails.
    """
    state = start(architecture or Architecture(), settings, folder)
    resumed = resume(state, folder)
    log = logging.getLogger("kaogan.tagger")
    resumed.accept(log, state.images_seen)
    intervals = Intervals(report=10 * settings.batch_size, checkpoint=checkpoint_every)
    loop = TaggerLoop(state, settings.total, settings.batch_size, intervals, folder, folder, log, LOSS_LIMIT)
    loop.examples, loop.settings = examples, settings

    def tell(progress: TrainProgress) -> None:
        losses = dict(progress.stats)
        speed = losses.pop("images_per_second")
        on_step(Step(progress.images_seen, progress.total, losses, speed))

    if not loop.run(bool(resumed), tell).finished:
        raise KeyboardInterrupt
    assert isinstance(state.ema.module, TaggerNetwork)
    return state.ema.module.eval()


class TaggerLoop(TrainingLoop):
    """The steps of the tagger: a mix of examples, a rate that follows the clock, an EMA that warms up."""

    state: NetworkState
    examples: Examples
    settings: Settings

    def step(self) -> None:
        clock, settings = self.state.images_seen, self.settings
        mix = MAIN if clock < settings.images else POLISH
        batch = self.examples.draw(clock // settings.batch_size, settings.batch_size, mix)
        for group in self.state.optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate_at(clock, settings)
        for name, value in update(self.state, batch, settings).items():
            self.meters.add(name, value)

    def after_step(self) -> None:
        step = self.state.images_seen // self.settings.batch_size - 1
        self.state.ema.lerp(min(self.settings.average, (1 + step) / (10 + step)))


def start(architecture: Architecture, settings: Settings, folder: Path) -> NetworkState:
    """Fresh weights, drawn from the seed."""
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
    described = json.loads(json.dumps({**asdict(settings), "architecture": architecture.to_json()}))
    return NetworkState(network, EMA(network, buffers=True), optimiser, described, folder)


def rate_at(clock: int, settings: Settings) -> float:
    """The share of the learning rate: a rise, a plateau, a fall to nothing, and once more a lower fall."""
    if clock >= settings.images:
        return settings.polish_rate * (settings.total - clock) / settings.polish
    rise = (clock + settings.batch_size) / max(1, settings.warmup)
    fall = (settings.images - clock) / max(1.0, settings.cooldown * settings.images)
    return min(1.0, rise, fall)


def update(state: NetworkState, batch: Batch, settings: Settings) -> dict[str, Tensor]:
    """One step of the optimiser; the losses by name, and "loss", their sum."""
    half = choose_precision("auto", choose_device("cpu")) == "bf16"
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        _, logits = state.network(batch.images)
    losses = losses_of({name: value.float() for name, value in logits.items()}, batch, settings)
    state.optimizer.zero_grad(set_to_none=True)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), 5.0)
    state.optimizer.step()
    return {**losses, "loss": total}


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
