"""Train/test split by content: the same picture always goes to the same part, and look-alikes stay together."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence

import numpy as np


def assign(keys: Sequence[str], groups: np.ndarray, shares: Mapping[str, float]) -> list[str]:
    """The part of each picture. ``keys`` name contents; ``groups`` (N,) are the look-alikes that must not be parted.

    Each group is drawn by a hash of its smallest key, so the shares are met on average: the fewer groups, the looser.
    """
    smallest: dict[int, str] = {}
    for key, group in zip(keys, groups.tolist(), strict=True):
        smallest[group] = min(key, smallest.get(group, key))
    parts = {group: _draw(key, shares) for group, key in smallest.items()}
    return [parts[group] for group in groups.tolist()]


def share_of(key: str, purpose: str) -> float:
    """A number in [0, 1) that is the same for the same content, whatever else is in the set."""
    return int.from_bytes(hashlib.sha256(f"{purpose}/{key}".encode()).digest()[:8], "little") / 2**64


def _draw(key: str, shares: Mapping[str, float]) -> str:
    place = share_of(key, "split")
    ends = itertools.accumulate(shares.values())
    names = list(shares)
    return next((name for name, end in zip(names, ends, strict=True) if place < end), names[-1])
