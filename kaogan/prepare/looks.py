"""What copies are sought by, in a kilobyte a picture: made where the picture is read, on all cores, and remembered."""

from __future__ import annotations

import hashlib

import numpy as np

from kaogan.prepare.alignment import coarse
from kaogan.prepare.fingerprints import HASH_SIZE, SIDE, perceptual_hash

LOOK = np.dtype([("print", "<i8"), ("hash", "<f4", HASH_SIZE), ("coarse", "<f2", (SIDE // 2, SIDE // 2))])
"""Of a thumbnail: its digest, its perceptual hash and its ``coarse`` form."""


def looks_of(thumbnails: np.ndarray) -> np.ndarray:
    """uint8 (N, 32, 32, 3) -> LOOK (N,)."""
    looks = np.empty(len(thumbnails), LOOK)
    digests = b"".join(hashlib.blake2b(each.tobytes(), digest_size=8).digest() for each in thumbnails)
    looks["print"] = np.frombuffer(digests, "<i8")
    looks["hash"], looks["coarse"] = perceptual_hash(thumbnails), coarse(thumbnails)
    return looks
