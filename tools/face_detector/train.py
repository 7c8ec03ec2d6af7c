"""Training of the face detector on synthesized pictures; the clock is the number of pictures seen."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from kaogan.aux_models.face_detector.detector import Detector
from kaogan.aux_models.face_detector.network import STRIDE, FaceNet, encode, fuse, loss
from kaogan.core import checkpoint, weights_file
from kaogan.core.atomic_io import atomic
from kaogan.core.device import choose_precision
from kaogan.core.errors import KaoganError
from kaogan.core.images import to_float
from kaogan.core.rng import numpy_generator
from tools.face_detector import hard_negatives
from tools.face_detector.synthesize import Portrait, lesson

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
    average = copy.deepcopy(network).requires_grad_(False)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.01, fused=True)
    clock = _resume(out, settings, network, average, optimiser)
    half = choose_precision("auto", torch.device("cpu")) == "bf16"
    means: dict[str, float] = {}
    began, start = time.monotonic(), clock
    total = settings.images + settings.second
    snares: list[np.ndarray] = []
    while clock < total:
        if clock >= settings.images and not snares:
            snares = _traps(out, portraits, average, settings)
        for group in optimiser.param_groups:
            group["lr"] = _rate(clock, settings)
        images, wanted, weights = batch(portraits, settings, clock, snares)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            maps = network(images)
        cost, parts = loss(maps, wanted, weights)
        optimiser.zero_grad(set_to_none=True)
        cost.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        _average(average, network, min(KEEP, 1 - 1 / (1 + clock / settings.batch / 4)))
        clock += settings.batch
        for name, value in parts.items():
            means[name] = 0.98 * means.get(name, value) + 0.02 * value
        done = clock >= total
        if done or clock // settings.save_every > (clock - settings.batch) // settings.save_every:
            _save(out, settings, clock, network, average, optimiser)
            write_weights(out / "weights.safetensors", average, settings.threshold)
        if report:
            speed = (clock - start) / max(time.monotonic() - began, 1e-9)
            report(min(clock, total), total, {**means, "images_per_second": speed})
    return out / "weights.safetensors"


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


@torch.no_grad()
def _average(average: FaceNet, network: FaceNet, keep: float) -> None:
    mine, other = average.state_dict(), network.state_dict()
    floats = [name for name, value in mine.items() if value.is_floating_point()]
    torch._foreach_lerp_([mine[name] for name in floats], [other[name] for name in floats], 1 - keep)


def _save(
    out: Path, settings: Settings, clock: int, network: FaceNet, average: FaceNet, optimiser: torch.optim.Optimizer
) -> None:
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
    checkpoint.save(out, tensors, {"clock": clock, "settings": json.loads(json.dumps(asdict(settings)))})
    checkpoint.rotate(out, keep_last=1, keep_every=0)


def _resume(out: Path, settings: Settings, network: FaceNet, average: FaceNet, optimiser: torch.optim.Optimizer) -> int:
    found = checkpoint.find(out)
    if not found:
        return 0
    tensors, state = checkpoint.load(found[-1])
    differing = [k for k, v in json.loads(json.dumps(asdict(settings))).items() if state["settings"].get(k) != v]
    if differing:
        raise KaoganError(f"{out} holds a training with other settings ({', '.join(differing)}); choose another folder")
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimiser": {}}
    for name, value in tensors.items():
        owner, _, rest = name.partition(".")
        parts[owner][rest] = value
    network.load_state_dict(parts["network"])
    average.load_state_dict(parts["average"])
    states: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["optimiser"].items():
        index, _, key = name.partition(".")
        # The fused step walks through memory: its averages must lie like the weights.
        lies = torch.channels_last if value.ndim == 4 else torch.contiguous_format
        states.setdefault(int(index), {})[key] = value.contiguous(memory_format=lies)
    optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(state["clock"])
