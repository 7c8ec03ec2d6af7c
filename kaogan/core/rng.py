"""Randomness as a function of (seed, purpose, clock).

No draw in kaogan depends on hidden global state, so a resumed run draws what an uninterrupted one would have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def seed_for(seed: int, purpose: str, clock: int = 0) -> int:
    """A 63-bit seed that differs in every respect when one of the three differs."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{clock}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def torch_generator(seed: int, purpose: str, clock: int = 0) -> torch.Generator:
    """A CPU generator: the draws are the same whatever device they are used on."""
    return torch.Generator().manual_seed(seed_for(seed, purpose, clock))


def numpy_generator(seed: int, purpose: str, clock: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed_for(seed, purpose, clock))


def randn(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """N(0, 1), float32, for what training draws by the million: noise maps and noise on pictures.

    On a CPU from ``generator``; elsewhere from a generator of the device that the next draw of ``generator`` seeds. So
    a run is reproducible on its kind of device, and no copy of megabytes holds up a step.
    """
    if device.type == "cpu":
        return torch.randn(shape, generator=generator)
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.randn(shape, generator=_of_device(device, seed), device=device)


def _of_device(device: torch.device, seed: int) -> torch.Generator | None:
    return torch.Generator(device).manual_seed(seed)


def draw_latents(count: int, size: int, distribution: str, generator: torch.Generator) -> Tensor:
    """Latents (count, size): ``normal`` is N(0, 1), ``uniform`` is U(-1, 1)."""
    if distribution == "uniform":
        return torch.rand(count, size, generator=generator) * 2 - 1
    return torch.randn(count, size, generator=generator)
