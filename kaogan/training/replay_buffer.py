"""The memory of old fakes (BaMSGAN): a reservoir, so that every age has the same chance to be remembered."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kaogan.core.images import to_float, to_uint8


class Memory:
    """Keeps ``capacity`` of all the pictures ever offered, each with equal probability (Vitter 1985, algorithm R).

    The source clipped its pictures when it saved them and read them back 255 times too bright; here they are the same
    uint8 pictures that a user would see, and come back in [-1, 1].
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.offered = 0
        self._pictures: np.ndarray | None = None

    def __len__(self) -> int:
        return min(self.offered, self.capacity)

    def offer(self, images: Tensor, random: np.random.Generator) -> None:
        """Offer images (N, C, H, W) in [-1, 1]."""
        for picture in to_uint8(images):
            if self._pictures is None:
                self._pictures = np.empty((self.capacity, *picture.shape), np.uint8)
            slot = self.offered if self.offered < self.capacity else int(random.integers(self.offered + 1))
            if slot < self.capacity:
                self._pictures[slot] = picture
            self.offered += 1

    def draw(self, count: int, random: np.random.Generator) -> Tensor:
        """``count`` pictures (or all, if there are fewer) without replacement, (N, C, H, W) in [-1, 1]."""
        if self._pictures is None:
            raise ValueError("the memory is empty")
        where = random.choice(len(self), size=min(count, len(self)), replace=False)
        return to_float(self._pictures[where])

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        state = {"offered": torch.tensor(self.offered)}
        if self._pictures is not None:
            state["pictures"] = torch.from_numpy(self._pictures[: len(self)].copy())
        return state

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.offered, self._pictures = int(state["offered"]), None
        if "pictures" in state:
            pictures = state["pictures"].numpy()[: self.capacity]
            self._pictures = np.empty((self.capacity, *pictures.shape[1:]), np.uint8)
            self._pictures[: len(pictures)] = pictures
            if len(pictures) < len(self):  # the capacity has grown since: fill it up first
                self.offered = len(pictures)
