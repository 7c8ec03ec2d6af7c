"""Living portrait: a seamless loop in which one face turns a little, breathes, blinks and moves its mouth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.core.errors import UsageError
from kaogan.core.rng import numpy_generator
from kaogan.generate.explore.latent_point import LatentPoint, points, render
from kaogan.generate.explore.motions import Motions, mean_distance
from kaogan.generate.model import Model
from kaogan.metrics.collect import measure
from kaogan.metrics.features import load_extractor

SECONDS, LONGEST = 6.0, 120.0
BREATH, BLINKS, WORDS = 3.0, 2.8, 3.5  # s: about how long a breath takes, and between two blinks or openings of a mouth
BLINK, WORD = 0.2, 0.45  # s: half of the time that one takes
FURTHEST = 2.0
FACES = 64  # of the model, which tell how far two faces are from each other


def portrait(
    motions: Motions, seconds: float = SECONDS, fps: float = 24, *, span: float = 1.0, seed: int = 0
) -> list[LatentPoint]:
    """The points of the frames of a loop of ``seconds``; the first one follows the last as any other does.

    ``span`` scales all motions: 1 goes as far as the poses of ``motions``. The seed chooses when what happens. Raises
    UsageError for numbers out of range.
    """
    frames = check_portrait(seconds, fps, span)
    curves = amounts(frames, seconds, seed)
    return [
        motions.move(**{name: span * float(curve[frame]) for name, curve in curves.items()}) for frame in range(frames)
    ]


def check_portrait(seconds: float, fps: float, span: float) -> int:
    """The number of frames. Raises UsageError for numbers out of range."""
    if not 1 <= seconds <= LONGEST:
        raise UsageError(f"a portrait lasts 1 to {LONGEST:g} seconds, not {seconds:g}")
    if not 2 <= fps <= 240:
        raise UsageError(f"the frames a second of a portrait must be between 2 and 240, not {fps:g}")
    if not 0 < span <= FURTHEST:
        raise UsageError(f"the span must be above 0 and at most {FURTHEST:g}, not {span:g}")
    return round(seconds * fps)


@dataclass(frozen=True)
class Likeness:
    """Distances 1 - cosine in EfficientNet's features, which no search here looks at."""

    furthest: float
    """Of the frames from the face, the largest."""
    between: float
    """Between two faces of the model, the mean."""


def likeness(model: Model, base: LatentPoint, frames: Sequence[LatentPoint]) -> Likeness:
    """How far about 50 of the frames lie from ``base``, beside how far 64 faces of the model lie from each other."""
    extractor = load_extractor("efficientnet")

    def directions(faces: Sequence[LatentPoint]) -> Tensor:
        size = model.batch_size
        batches = [render(model, faces[start : start + size]) for start in range(0, len(faces), size)]
        return F.normalize(torch.from_numpy(measure(extractor, batches, len(faces)).features).double())

    seen = directions([base, *frames[:: max(1, len(frames) // 50)]])
    return Likeness(
        float((1 - seen[1:] @ seen[0]).max()), mean_distance(directions(points(model.keeping(1), 0, FACES)))
    )


def amounts(frames: int, seconds: float, seed: int = 0) -> dict[str, np.ndarray]:
    """For each motion its amounts (frames,): -1 to 1 of turn and height, 0 to 1 of the others; one period each."""
    rng = numpy_generator(seed, "portrait", 0)
    turns = np.arange(frames) / frames  # of the loop
    waves = rng.uniform(0, 2 * math.pi, 4)
    turn = 0.75 * np.sin(2 * math.pi * turns + waves[0]) + 0.25 * np.sin(4 * math.pi * turns + waves[1])
    height = 0.5 * np.sin(2 * math.pi * turns + waves[2]) + 0.3 * np.sin(4 * math.pi * turns + waves[3])
    breaths = max(1, round(seconds / BREATH))
    # A blink that falls between two frames of a slow film would not be seen.
    blink, word = (max(half, 1.5 * seconds / frames) for half in (BLINK, WORD))
    return {
        "turn": turn,
        "height": height,
        "breath": (1 - np.cos(2 * math.pi * breaths * turns)) / 2,
        "blink": _pulses(turns * seconds, seconds, max(1, round(seconds / BLINKS)), blink, rng),
        "mouth": _pulses(turns * seconds, seconds, max(1, round(seconds / WORDS)), word, rng),
    }


def _pulses(times: np.ndarray, seconds: float, count: int, half: float, rng: np.random.Generator) -> np.ndarray:
    """``count`` pulses from 0 to 1 and back, each somewhere in its own part of the loop; some wrap around its end."""
    middles = (np.arange(count) + rng.uniform(0, 0.6, count)) * seconds / count
    away = np.abs((times[:, None] - middles + seconds / 2) % seconds - seconds / 2)
    pulses: np.ndarray = np.where(away < half, (1 + np.cos(math.pi * away / half)) / 2, 0.0).max(1)
    return pulses
