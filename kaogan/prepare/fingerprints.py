"""Image fingerprints for the search of duplicates, about 1 KB each: thumbnail, perceptual hash, digest.

The hash is 108 soft colour cells rather than 64 bits: bits of aligned faces agree by themselves, and one cut border
flips a dozen of them, while the distance of soft cells grows in step with what was cut.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import cv2
import numpy as np

from kaogan.prepare.alignment import SIDE, coarse

CELLS = 6  # a side of the hash
HASH_SIZE = CELLS * CELLS * 3
FINGERPRINT = np.dtype([("print", "<i8"), ("hash", "<f4", HASH_SIZE), ("coarse", "<f2", (SIDE // 2, SIDE // 2))])
"""Of a thumbnail: its digest, its perceptual hash and its ``coarse`` form."""


def fingerprints_of(thumbnails: np.ndarray) -> np.ndarray:
    """uint8 (N, 32, 32, 3) -> FINGERPRINT (N,)."""
    found = np.empty(len(thumbnails), FINGERPRINT)
    digests = b"".join(hashlib.blake2b(each.tobytes(), digest_size=8).digest() for each in thumbnails)
    found["print"] = np.frombuffer(digests, "<i8")
    found["hash"], found["coarse"] = perceptual_hash(thumbnails), coarse(thumbnails)
    return found


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) -> uint8 (32, 32, 3), area-averaged; another aspect is squashed."""
    return cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def perceptual_hash(thumbnails: np.ndarray) -> np.ndarray:
    """uint8 (N, 32, 32, 3) -> float32 (N, 108), grey levels 0 to 255: Gaussian-weighted means on a 6 x 6 grid."""
    cells, count = _cells(), len(thumbnails)
    rows = cells @ thumbnails.astype(np.float32).reshape(count, SIDE, SIDE * 3)
    return (cells @ rows.reshape(count, CELLS, SIDE, 3)).reshape(count, HASH_SIZE)


def mirrored(hashes: np.ndarray) -> np.ndarray:
    """The hashes (N, 108) of the same pictures seen in a mirror."""
    return np.ascontiguousarray(hashes.reshape(-1, CELLS, CELLS, 3)[:, :, ::-1]).reshape(len(hashes), HASH_SIZE)


@lru_cache(maxsize=1)
def _cells() -> np.ndarray:
    """(6, 32): the weights of each cell, as wide as the cells are apart, so that a shift moves them little."""
    pitch = SIDE / CELLS
    centres = (np.arange(CELLS) + 0.5) * pitch - 0.5
    weights = np.exp(-0.5 * ((np.arange(SIDE) - centres[:, None]) / (0.7 * pitch)) ** 2)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
