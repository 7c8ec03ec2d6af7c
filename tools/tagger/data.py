"""Training sets of the tagger: four sets and the avatars, each parted by what its pictures show."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from kaogan.aux_models.tagger.network import ATTRIBUTES, IMAGE_SIZE
from kaogan.aux_models.tagger.preprocessing import shrink
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.progress import Progress
from kaogan.core.rng import numpy_generator
from kaogan.data import avatars, load_pictures
from kaogan.data.avatars import style
from kaogan.data.cache import cache_folder, cached_pictures, fingerprint_of, in_order
from kaogan.data.sources import LABELS, open_source

# name: (file, size in px at which it is read)
SETS = {
    "getchu": ("getchu64_12k.zip", 64),
    "konachan": ("konachan96_tagged7k.zip", 96),
    "makegirls": ("makegirls64_tagged8k.zip", 64),
    "selfie2anime": ("selfie2anime256_1500.zip", 256),
}
TAGGED = ("konachan", "makegirls")
PARTS = ("train", "calibrate", "test")
# Every fifth hair style is drawn for tests only: the tagger must read a colour from hair of a shape it never saw.
HELD_OUT_STYLES = style.HAIRS[4::5]
AVATAR_SEEDS = {"train": 101, "calibrate": 102, "test": 103}


@dataclass(frozen=True)
class Tagged:
    """Pictures uint8 (N, S, S, 3) and for each attribute labels int64 (N,), -1 where unknown."""

    images: np.ndarray
    labels: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, chosen: np.ndarray) -> Tagged:
        return Tagged(np.asarray(self.images)[chosen], {k: v[chosen] for k, v in self.labels.items()})


def part_of(picture: np.ndarray) -> str:
    """Train (80 %), calibrate (8 %) or test (12 %), by the SHA-256 of the pixels: a copy is never in two parts."""
    number = int.from_bytes(hashlib.sha256(picture.tobytes()).digest()[:8], "little") % 100
    return "train" if number < 80 else "calibrate" if number < 88 else "test"


def parted(tagged: Tagged) -> dict[str, Tagged]:
    parts = np.array([part_of(picture) for picture in tagged.images])
    return {part: tagged.take(np.flatnonzero(parts == part)) for part in PARTS}


def read_set(name: str, folder: Path, progress: Progress | None = None) -> Tagged:
    """One of SETS from ``folder``, with its tags where it has them. Raises UsageError when it is not there."""
    file, size = SETS[name]
    if not (folder / file).exists():
        raise UsageError(f"{folder} lacks {file}; the tagger is trained on {', '.join(f for f, _ in SETS.values())}")
    names = list(ATTRIBUTES) if name in TAGGED else None
    found = load_pictures(folder / file, image_size=size, attributes=names, progress=progress)
    labels = {}
    for attribute, values in ATTRIBUTES.items():
        labels[attribute] = np.full(len(found), -1)
        if names:
            # A value that the schema lacks (konachan's few gray eyes) is unknown: neither learnt nor counted.
            known = np.array([values.index(v) if v in values else -1 for v in found.schema[attribute].values] + [-1])
            labels[attribute] = known[found.labels[:, found.schema.names.index(attribute)]]
    return Tagged(cast(np.ndarray, found.images), labels)


def avatar_indices(part: str, count: int) -> list[int]:
    """The first ``count`` avatars of the part's seed whose hair styles belong to it."""
    seed, held_out = AVATAR_SEEDS[part], part == "test"
    fitting = (i for i in itertools.count() if (avatars.hair_style_of(i, seed) in HELD_OUT_STYLES) == held_out)
    return list(itertools.islice(fitting, count))


def read_avatars(part: str, count: int, progress: Progress | None = None) -> Tagged:
    """``count`` avatars of a part: of the held-out hair styles for "test", of the others for the rest."""
    seed, indices = AVATAR_SEEDS[part], avatar_indices(part, count)

    def draw() -> Iterator[tuple[str, np.ndarray]]:
        for done, (index, picture) in enumerate(in_order(indices, lambda i: avatars.draw(i, IMAGE_SIZE, seed))):
            yield avatars.name_of(index), picture
            if progress:
                progress(done + 1, count, "drawing avatars")

    key = fingerprint_of("tagger avatars", avatars.VERSION, IMAGE_SIZE, part, seed, HELD_OUT_STYLES, count)
    images, *_ = cached_pictures(cache_folder(), key, (IMAGE_SIZE, IMAGE_SIZE, 3), draw)
    pairs = np.array([avatars.labels_of(index, seed) for index in indices])
    return Tagged(images, {"hair": pairs[:, 0], "eyes": pairs[:, 1]})


def read_boxes(folder: Path) -> np.ndarray:
    """The face boxes of selfie2anime, int (N, 4): x, y, width, height in px of 256, in the order of its pictures."""
    with open_source(folder / SETS["selfie2anime"][0]) as source:
        names = [entry.name for entry in source.listing.entries]
        table = next(name for name in source.listing.side if name.endswith(LABELS))
        rows = csv.DictReader(io.StringIO(source.read_side(table).decode("utf-8-sig")))
        boxes = {row["file"]: [int(row[key]) for key in "xywh"] for row in rows}
    try:
        return np.array([boxes[Path(name).name] for name in names])
    except KeyError as missing:
        raise KaoganError(f"{folder / SETS['selfie2anime'][0]}: no face box for {missing} in its labels.csv") from None


def crop_faces(pictures: np.ndarray, boxes: np.ndarray, seed: int, per_picture: int = 2) -> np.ndarray:
    """Each face at ``per_picture`` random margins of 0 to 40 %, and the whole pictures: uint8 (N, 64, 64, 3)."""
    rng = numpy_generator(seed, "tagger face crops")
    crops = [shrink(np.asarray(pictures))]
    for _ in range(per_picture):
        taken = []
        for picture, (x, y, width, height) in zip(pictures, boxes, strict=True):
            side = max(width, height) * (1 + rng.uniform(0, 0.4))
            left = int(np.clip(x + width / 2 - side / 2, 0, picture.shape[1] - 16))
            top = int(np.clip(y + height / 2 - side / 2, 0, picture.shape[0] - 16))
            taken.append(_resized(picture[top : top + int(side), left : left + int(side)]))
        crops.append(np.stack(taken))
    return np.concatenate(crops)


def cut_backgrounds(pictures: np.ndarray, boxes: np.ndarray, seed: int, tries: int = 20) -> np.ndarray:
    """Squares of 28 to 80 px that lie beside the face box: uint8 (M, 64, 64, 3)."""
    rng = numpy_generator(seed, "tagger backgrounds")
    found = []
    for picture, (x, y, width, height) in zip(pictures, boxes, strict=True):
        for _ in range(tries):
            side = int(rng.integers(28, 81))
            left, top = rng.integers(0, picture.shape[1] - side + 1), rng.integers(0, picture.shape[0] - side + 1)
            wide = min(left + side, x + width) - max(left, x)
            high = min(top + side, y + height) - max(top, y)
            if max(0, wide) * max(0, high) < 0.1 * side * side:
                found.append(_resized(picture[top : top + side, left : left + side]))
    return np.stack(found) if found else np.empty((0, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)


def _resized(picture: np.ndarray) -> np.ndarray:
    shrinks = picture.shape[0] > IMAGE_SIZE
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(picture, (IMAGE_SIZE, IMAGE_SIZE), interpolation=interpolation)
