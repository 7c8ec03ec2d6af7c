"""Training batches of the tagger: every draw is a function of (seed, step)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from kaogan.aux_models.tagger.network import ATTRIBUTES, IMAGE_SIZE
from kaogan.aux_models.tagger.preprocessing import to_images
from kaogan.core.rng import numpy_generator
from tools.tagger.corruptions import FAULTS, READABLE, READABLE_FAULTS, hue_matrix, saturation_matrix
from tools.tagger.data import Tagged
from tools.tagger.negatives import NEGATIVES

CUT_BACKGROUNDS = 0.25  # of what is not a face


@dataclass(frozen=True)
class Mix:
    """What a batch is made of. ``shares``: how often each set is drawn among the faces; ``faulty``: of the faces;
    ``not_faces``: of the batch; ``unmoved`` and ``uncoloured``: faces that keep their place and their colours, because
    resampling softens, and pictures to be tagged are mostly sharp."""

    shares: Mapping[str, float]
    faulty: float
    not_faces: float
    unmoved: float
    uncoloured: float


MAIN = Mix(
    {"konachan": 0.34, "makegirls": 0.24, "avatars": 0.14, "getchu": 0.18, "selfie2anime": 0.10}, 0.3, 0.12, 0.3, 0.3
)
# The end of training: colours as they are, most of all in the set whose tags are finest.
POLISH = Mix(
    {"konachan": 0.30, "makegirls": 0.42, "avatars": 0.07, "getchu": 0.12, "selfie2anime": 0.09}, 0.2, 0.1, 0.4, 0.7
)
UNKNOWN = -1


@dataclass
class Batch:
    """Images float (N, 3, 64, 64); labels int64 (N,) by attribute, -1 unknown; ``face`` and ``quality`` float (N,) in
    [0, 1], -1 unknown; ``faults`` float (N, 12), rows of -1 where unknown."""

    images: Tensor
    labels: dict[str, Tensor]
    face: Tensor
    quality: Tensor
    faults: Tensor


class Examples:
    """Faces by set and backgrounds, uint8 (N, 64, 64, 3) all."""

    def __init__(self, faces: dict[str, Tagged], backgrounds: np.ndarray, seed: int) -> None:
        self.faces, self.backgrounds, self.seed = faces, backgrounds, seed
        self._sets = list(faces.values())

    def draw(self, step: int, count: int, mix: Mix = MAIN) -> Batch:
        rng = numpy_generator(self.seed, "tagger batch", step)
        pictures = np.empty((count, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        labels = {name: np.full(count, UNKNOWN) for name in ATTRIBUTES}
        face, quality = np.full(count, 1.0, np.float32), np.full(count, 1.0, np.float32)
        faults = np.zeros((count, len(FAULTS)), np.float32)
        not_faces = round(mix.not_faces * count)
        shares = np.array([mix.shares[name] for name in self.faces])
        shares /= shares.sum()
        for i in range(count):
            if i < not_faces:
                pictures[i] = self._negative(rng, shares)
                face[i], quality[i], faults[i] = 0, UNKNOWN, UNKNOWN
            else:
                picture, tags = self._face(rng, shares)
                pictures[i] = recolour(move(picture, rng, mix.unmoved), rng, mix.uncoloured)
                readable = True
                if rng.random() < mix.faulty:
                    pictures[i], kind, strength = self._broken(pictures[i], rng, shares)
                    quality[i] = 1 - strength
                    faults[i, kind] = min(1.0, strength / 0.25)
                    readable = strength < READABLE and list(FAULTS)[kind] in READABLE_FAULTS
                if readable:
                    for name, value in tags.items():
                        labels[name][i] = value
        return Batch(
            to_images(pictures).contiguous(memory_format=torch.channels_last),
            {name: torch.from_numpy(values) for name, values in labels.items()},
            torch.from_numpy(face),
            torch.from_numpy(quality),
            torch.from_numpy(faults),
        )

    def _face(self, rng: np.random.Generator, shares: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        chosen = self._sets[rng.choice(len(self._sets), p=shares)]
        index = rng.integers(len(chosen))
        return chosen.images[index], {name: int(values[index]) for name, values in chosen.labels.items()}

    def _broken(
        self, picture: np.ndarray, rng: np.random.Generator, shares: np.ndarray
    ) -> tuple[np.ndarray, int, float]:
        kind, strength = int(rng.integers(len(FAULTS))), float(rng.uniform(0.03, 1))
        other, _ = self._face(rng, shares)
        return list(FAULTS.values())[kind](picture, strength, rng, other), kind, strength

    def _negative(self, rng: np.random.Generator, shares: np.ndarray) -> np.ndarray:
        if len(self.backgrounds) and rng.random() < CUT_BACKGROUNDS:
            picture = self.backgrounds[rng.integers(len(self.backgrounds))]
            return recolour(picture[:, ::-1] if rng.random() < 0.5 else picture, rng)
        face, _ = self._face(rng, shares)
        return NEGATIVES[rng.integers(len(NEGATIVES))](face, rng)


def move(picture: np.ndarray, rng: np.random.Generator, unmoved: float) -> np.ndarray:
    """Half of the pictures mirrored; most turned, scaled and shifted a little, as a face finder's boxes vary."""
    if rng.random() < 0.5:
        picture = np.ascontiguousarray(picture[:, ::-1])
    if rng.random() < unmoved:
        return picture
    size = picture.shape[0]
    centre = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), rng.uniform(-12, 12), np.exp(rng.uniform(-0.18, 0.25)))
    matrix[:, 2] += rng.uniform(-0.07, 0.07, 2) * size
    interpolation = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)[rng.integers(2)]
    return cv2.warpAffine(picture, matrix, (size, size), flags=interpolation, borderMode=cv2.BORDER_REFLECT_101)


def recolour(picture: np.ndarray, rng: np.random.Generator, uncoloured: float = 0.3) -> np.ndarray:
    """Brightness, contrast, saturation and hue vary, by less than what makes another colour of one."""
    if rng.random() < uncoloured:
        return picture
    matrix = hue_matrix(np.radians(rng.uniform(-4, 4))) @ saturation_matrix(np.exp(rng.uniform(-0.18, 0.18)))
    contrast, brightness = np.exp(rng.uniform(-0.12, 0.12)), rng.uniform(-10, 10)
    offset = np.float32(127.5 * (1 - contrast) + brightness)
    values = picture.astype(np.float32) @ (matrix * np.float32(contrast)).T + offset
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
