"""Training crops: the held-out split of large pictures, and pairs (low, high) as a function of seed and images seen."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kaogan.aux_models.upscaler.resampling import shrink
from kaogan.config.upscale_recipe import UpscaleRecipe
from kaogan.core.errors import UsageError
from kaogan.core.images import Pictures, to_float
from kaogan.core.rng import numpy_generator
from kaogan.data import PictureSet, load_pictures
from kaogan.data.dataset import Images
from kaogan.prepare.duplicates import find_copies
from kaogan.prepare.fingerprints import thumbnail
from kaogan.prepare.split import assign, share_of
from kaogan.training.upscaler.degradation import degrade


@dataclass(frozen=True)
class Split:
    """Positions in a set. ``held_out`` is in the order of a hash of the contents, so its first ones are a fair draw."""

    train: np.ndarray
    held_out: np.ndarray


def split(images: Images, share: float) -> Split:
    """Divide pictures by their contents; look-alikes (and mirrored ones) stay on one side.

    The same picture goes to the same part whatever else is in the set, unless a look-alike joins it.
    """
    keys = [hashlib.sha256(np.ascontiguousarray(image).data).hexdigest() for image in images]
    if not share:
        return Split(np.arange(len(images)), np.empty(0, np.int64))
    _, contents = np.unique(np.array(keys), return_inverse=True)
    small = np.stack([thumbnail(image) for image in images])
    groups = find_copies(lambda at: small[at], contents, np.arange(len(images))).group
    parts = np.array(assign(keys, groups, {"held_out": share, "train": 1 - share}))
    held_out = sorted(np.flatnonzero(parts == "held_out"), key=lambda at: share_of(keys[at], "upscale"))
    return Split(np.flatnonzero(parts == "train"), np.array(held_out, np.int64))


@dataclass(frozen=True)
class CropPair:
    """The input (N, 3, S, S) and the target (N, 3, scale·S, scale·S), float in [-1, 1]."""

    low: Tensor
    high: Tensor
    scale: int


class CropSampler:
    """Training pairs without end, each batch of one scale. Raises UsageError when the pictures are too few."""

    def __init__(self, pictures: PictureSet, recipe: UpscaleRecipe) -> None:
        self.recipe, self.pictures = recipe, pictures
        self.parts = split(pictures.images, recipe.crops.held_out)
        if not len(self.parts.train):
            raise UsageError(f"{pictures.source} has {len(pictures)} pictures: too few to train on and hold some out")
        self.avatars: Images | None = None
        if recipe.crops.avatars and recipe.crops.avatar_share:
            settings = recipe.crops
            drawn = load_pictures(None, image_size=settings.avatar_size, avatar_count=settings.avatars, avatar_seed=1)
            self.avatars = drawn.images

    @property
    def held_out(self) -> Pictures:
        return self.pictures.images[self.parts.held_out]

    def at(self, clock: int) -> CropPair:
        """The batch that starts when ``clock`` pictures have been shown."""
        recipe, count = self.recipe, self.recipe.training.batch_size
        random = numpy_generator(recipe.run.seed, "upscale/batch", clock)
        weights = {int(scale): weight for scale, weight in recipe.crops.scales.items() if weight}
        chances = np.array(list(weights.values()))
        scale = int(random.choice(list(weights), p=chances / chances.sum()))
        side = recipe.crops.low * scale
        high = to_float(np.stack([self._crop(side, random) for _ in range(count)]))
        low = shrink(high, scale)
        for number in np.flatnonzero(random.random(count) < recipe.degradation.share):
            low[number] = degrade(high[number : number + 1], scale, recipe.degradation, random)[0]
        layout = torch.channels_last
        return CropPair(low.contiguous(memory_format=layout), high.contiguous(memory_format=layout), scale)

    def _crop(self, side: int, random: np.random.Generator) -> np.ndarray:
        if self.avatars is not None and random.random() < self.recipe.crops.avatar_share:
            picture = self.avatars[random.integers(len(self.avatars))]
        else:
            picture = self.pictures.images[self.parts.train[random.integers(len(self.parts.train))]]
        top, left = (int(random.integers(extent - side + 1)) for extent in picture.shape[:2])
        crop = picture[top : top + side, left : left + side]
        return crop[:, ::-1] if self.recipe.crops.flip and random.random() < 0.5 else crop
