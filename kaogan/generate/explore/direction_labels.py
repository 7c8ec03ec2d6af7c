"""Labels of directions: in words, what the tagger and simple measures of images see change along them."""

from __future__ import annotations

import numpy as np

from kaogan.aux_models.tagger import Tagger, load_tagger
from kaogan.core.images import Pictures
from kaogan.generate.explore.directions_io import BoundDirections
from kaogan.generate.explore.latent_point import points, render
from kaogan.generate.model import Model

SAMPLES, STRENGTH = 12, 2.5  # faces that are moved, and how far to either side
SPREAD = 0.3  # taken for the standard deviation of a probability: that of a rare colour is too small to divide by
WEAK = 0.25  # standard deviations between samples: less is no change that one sees
# (word for less, word for more); hair is named so, since only the tagger tells colours
WORDS = {
    "lightness": ("darker", "lighter"),
    "saturation": ("paler", "more colourful"),
    "warmth": ("cooler", "warmer"),
    "hair": ("shorter hair", "longer hair"),
    "skin": ("farther", "closer"),
    "turn": ("turned left", "turned right"),
    "height": ("looking down", "looking up"),
    "contrast": ("softer", "stronger"),
    "detail": ("simpler", "finer"),
    "forehead": ("more fringe", "more forehead"),
    "ground": ("darker ground", "lighter ground"),
}
Label = tuple[str, str]


def describe_directions(
    model: Model, directions: BoundDirections, tagger: Tagger | None = None, *, seed: int = 0
) -> dict[str, Label]:
    """For each direction what is seen at its negative and at its positive end, such as ("darker", "lighter").

    ``SAMPLES`` faces of the seed are moved both ways. The change of each measure is divided by its standard deviation
    between unmoved faces, that of the tagger's probabilities by ``SPREAD``. Strong changes get their labels first, each
    label is given once.
    Directions along which nothing changes by more than ``WEAK`` are missing. Deterministic.
    """
    tagger = tagger or load_tagger()
    faces = points(model.keeping(1), seed, SAMPLES)
    moved = [
        directions.move(face, name, end) for name in directions.names for end in (-STRENGTH, STRENGTH) for face in faces
    ]
    pictures = render(model, [*faces, *moved])
    values = measure(pictures)
    names = list(directions.names)
    candidates: list[tuple[float, str, Label]] = []
    for key, label in WORDS.items():
        for name, change in zip(names, _changes(values[key]), strict=True):
            candidates.append((abs(float(change)), name, label if change > 0 else (label[1], label[0])))
    prediction = tagger.predict(pictures if pictures.shape[-1] == 3 else pictures.repeat(3, -1))
    for attribute, known in tagger.values.items():
        for name, change in zip(names, _changes(prediction.probabilities[attribute], SPREAD), strict=True):
            least, most = int(change.argmin()), int(change.argmax())
            effect = float(change[most] - change[least]) / 2
            candidates.append((effect, name, (f"{known[least]} {attribute}", f"{known[most]} {attribute}")))
    labels: dict[str, Label] = {}
    used: set[frozenset[str]] = set()
    for effect, name, label in sorted(candidates, key=lambda each: (-each[0], each[1])):
        if effect > WEAK and name not in labels and frozenset(label) not in used:
            labels[name] = label
            used.add(frozenset(label))
    return labels


def _changes(values: np.ndarray, spread: float | None = None) -> np.ndarray:
    """Values of the unmoved and of the moved faces (N, ...) -> (D, ...): mean change along each direction, divided by
    ``spread`` or by the standard deviation of the unmoved."""
    divisor = spread or values[:SAMPLES].std(0) + 0.02
    ends = values[SAMPLES:].reshape(-1, 2, SAMPLES, *values.shape[1:]).mean(2)
    change: np.ndarray = (ends[:, 1] - ends[:, 0]) / divisor
    return change


def measure(pictures: Pictures) -> dict[str, np.ndarray]:
    """Simple measures (N,) of faces uint8 (N, H, W, C), each about 0 to 1.

    ``hair`` is how much of the lower sides has the colour of the top, ``skin`` the share of skin-like pixels, ``turn``
    where their centre is, from left to right, ``height`` the same from the bottom to the top; ``detail`` is the mean
    difference of neighbouring pixels, ``ground`` the lightness of the upper corners.
    """
    x = pictures.astype(np.float32) / 255
    x = x.repeat(3, -1) if x.shape[-1] == 1 else x
    n, height, width, _ = x.shape
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    top = np.median(x[:, : height // 4, width // 4 : -width // 4].reshape(n, -1, 3), axis=1)
    sides = np.concatenate([x[:, height // 2 :, : width // 5], x[:, height // 2 :, -(width // 5) :]], axis=2)
    near = np.linalg.norm(sides - top[:, None, None], axis=-1) < 0.25
    skin = ((red > green) & (green > blue - 0.02) & (red > 0.6) & (red - blue < 0.45) & (green > 0.5)).astype(
        np.float32
    )
    total = skin.sum((1, 2))
    across, up = np.linspace(0, 1, width, dtype=np.float32), np.linspace(1, 0, height, dtype=np.float32)
    centre, rise = ((skin.sum(axis) * line).sum(1) / np.maximum(total, 1) for axis, line in ((1, across), (2, up)))
    grey, corner = x.mean(-1), max(1, height // 8)
    return {
        "lightness": x.mean((1, 2, 3)),
        "saturation": (x.max(-1) - x.min(-1)).mean((1, 2)),
        "warmth": (red - blue).mean((1, 2)),
        "hair": near.mean((1, 2), dtype=np.float32),
        "skin": total / (height * width),
        "turn": np.where(total > 0, centre, 0.5),
        "height": np.where(total > 0, rise, 0.5),
        "contrast": grey.std((1, 2)),
        "detail": np.abs(np.diff(grey, axis=2)).mean((1, 2)),
        "forehead": skin[:, height // 4 : height // 2, width // 3 : -(width // 3)].mean((1, 2)),
        "ground": np.concatenate([grey[:, :corner, :corner], grey[:, :corner, -corner:]], 2).mean((1, 2)),
    }
