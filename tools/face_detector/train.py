"""Training of the face detector on synthesized pictures; the clock is the number of pictures seen."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from kaogan.aux_models.face_detector.detector import Detector
from kaogan.aux_models.face_detector.network import STRIDE, FaceNet
from kaogan.core import weights_file
from kaogan.core.atomic_io import atomic
from kaogan.core.device import choose_precision
from kaogan.core.ema import EMA
from kaogan.core.images import to_float
from kaogan.core.resume import resume
from kaogan.core.rng import numpy_generator
from kaogan.core.training_loop import Intervals, TrainingLoop, TrainProgress
from tools.face_detector import hard_negatives
from tools.face_detector.synthesize import Portrait, lesson
from tools.face_detector.targets import encode, fuse, loss
from tools.network_state import NetworkState

LOSS_LIMIT = 1e6
KEEP = 0.998  # of the moving average, per step
# Scores between which a find is a trap: below it is harmless, above it is rather a face that nobody marked.
FALLS_FOR = (0.25, 0.75)


@dataclass(frozen=True)
class Settings:
    images: int = 56_000
    """Length of the first course, in pictures seen."""
    second: int = 16_000
    """Length of the second one, at half the learning rate, which adds what the first one's network falls for."""
    sought: int = 500
    """Pictures of either kind in which that is sought between the courses."""
    batch: int = 32
    size: int = 128
    """Side of the training pictures in pixels, a multiple of 16."""
    learning_rate: float = 2e-3
    widths: tuple[int, ...] = (16, 24, 48, 96)
    threshold: float = 0.63
    """Written into the weights: the score from which a face counts."""
    seed: int = 0
    save_every: int = 4_000


Report = Callable[[int, int, dict[str, float]], None]


def train(
    portraits: Sequence[Portrait],
    out: Path,
    settings: Settings = Settings(),
    report: Report | None = None,
) -> Path:
    """Train on ``portraits`` and write ``out``/weights.safetensors; goes on from the checkpoint in ``out``.

    A cosine from the learning rate to nothing in each of two courses; between them ``traps`` are sought.
    Raises KaoganError when ``out`` holds the checkpoint of other settings.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(settings.seed)  # the first weights only; every later draw has its own generator
    network = FaceNet(settings.widths).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.01, fused=True)
    described = json.loads(json.dumps(asdict(settings)))
    state = NetworkState(network, EMA(network, buffers=True), optimizer, described, out)
    log = logging.getLogger("kaogan.faces")
    resumed = resume(state, out)
    resumed.accept(log, state.images_seen)
    total = settings.images + settings.second
    intervals = Intervals(report=settings.batch, checkpoint=settings.save_every)
    loop = FaceLoop(state, total, settings.batch, intervals, out, out, log, LOSS_LIMIT)
    loop.portraits, loop.settings = portraits, settings
    means: dict[str, float] = {}

    def tell(progress: TrainProgress) -> None:
        for name, value in progress.stats.items():
            means[name] = 0.98 * means.get(name, value) + 0.02 * value
        if report:
            report(min(progress.images_seen, total), total, means)

    if not loop.run(bool(resumed), tell).finished:
        raise KeyboardInterrupt
    return out / "weights.safetensors"


class FaceLoop(TrainingLoop):
    """The steps of both courses, and the weights as a file to use."""

    state: NetworkState
    portraits: Sequence[Portrait]
    settings: Settings
    hard_negatives: Sequence[np.ndarray] = ()

    def step(self) -> None:
        clock, settings, network = self.state.images_seen, self.settings, self.state.network
        if clock >= settings.images and not self.hard_negatives:
            self.hard_negatives = _traps(self.folder, self.portraits, self.ema, settings)
        for group in self.state.optimizer.param_groups:
            group["lr"] = _rate(clock, settings)
        images, wanted, weights = batch(self.portraits, settings, clock, self.hard_negatives)
        half = choose_precision("auto", torch.device("cpu")) == "bf16"
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            maps = network(images)
        cost, parts = loss(maps, wanted, weights)
        self.state.optimizer.zero_grad(set_to_none=True)
        cost.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        self.state.optimizer.step()
        for name, value in {**parts, "loss": cost}.items():
            self.meters.add(name, torch.as_tensor(value))

    def after_step(self) -> None:
        before = self.state.images_seen - self.batch_size
        self.state.ema.lerp(min(KEEP, 1 - 1 / (1 + before / self.batch_size / 4)))

    def save_model(self) -> None:
        write_weights(self.folder / "weights.safetensors", self.ema, self.settings.threshold)

    @property
    def ema(self) -> FaceNet:
        module = self.state.ema.module
        assert isinstance(module, FaceNet)
        return module


def batch(
    portraits: Sequence[Portrait], settings: Settings, clock: int, snares: Sequence[np.ndarray] = ()
) -> tuple[Tensor, Tensor, Tensor]:
    """The pictures (N, 3, S, S) shown at ``clock``, the wanted maps and their weights."""
    pairs = [
        lesson(numpy_generator(settings.seed, "faces", clock + i), portraits, settings.size, snares)
        for i in range(0, settings.batch, 2)
    ]
    lessons = list(chain(*pairs))[: settings.batch]
    cells = settings.size // STRIDE
    wanted, weights = encode([marks for _, marks in lessons], cells, cells)
    images = to_float(np.stack([picture for picture, _ in lessons]))
    return images, torch.from_numpy(wanted), torch.from_numpy(weights)


def write_weights(path: Path, network: FaceNet, threshold: float) -> None:
    """The network without its norms, in half precision, with what ``load_detector`` must know."""
    fused = fuse(network)
    tensors = {name: value.half().contiguous() for name, value in fused.state_dict().items()}
    header = {"kaogan.faces": json.dumps({"widths": list(network.widths), "threshold": threshold})}
    weights_file.write_weights(path, tensors, header)


def _rate(clock: int, settings: Settings) -> float:
    """In each course a short rise, then a cosine to nearly nothing."""
    first = clock < settings.images
    done = clock / settings.images if first else (clock - settings.images) / settings.second
    peak = settings.learning_rate * (1 if first else 0.5)
    return peak * (min(1.0, (done + 1e-3) / 0.02) * (0.5 + 0.5 * math.cos(math.pi * done)) + 1e-3)


def _traps(out: Path, portraits: Sequence[Portrait], average: FaceNet, settings: Settings) -> list[np.ndarray]:
    """What the first course's network took for faces; kept in ``out``, for the network that fell for it is not."""
    path = out / "traps.safetensors"
    if not path.exists():
        detector = Detector(fuse(average), threshold=FALLS_FOR[0])
        found = hard_negatives.seek(detector, portraits, FALLS_FOR, settings.size, settings.sought, settings.seed)
        with atomic(path) as temporary:
            save_file({"traps": torch.from_numpy(found)}, temporary)
    return list(load_file(path)["traps"].numpy())
