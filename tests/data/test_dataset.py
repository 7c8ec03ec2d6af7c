from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from kaogan.core.schema import Schema
from kaogan.data import PictureSet

SHAPE = (700, 32, 32, 3)


def mapped(folder: Path) -> PictureSet:
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8))
    images = np.load(folder / "images.npy", mmap_mode="r")
    return PictureSet(images, np.empty((len(images), 0), np.int64), Schema(()), (), (), (), "made", "made")


def held(name: str) -> int:
    """Kilobytes of a mapped file in this process's memory."""
    found = re.search(rf"{name}\n(?:.+\n)*?Rss: +(\d+) kB", Path("/proc/self/smaps").read_text())
    return int(found[1]) if found else 0


def test_batches_are_the_pictures_in_order(tmp_path: Path) -> None:
    pictures = mapped(tmp_path)
    batches = list(pictures.batches(64))
    assert [len(batch) for batch in batches] == [64] * 10 + [60]
    assert (np.concatenate(batches) == pictures.images).all()
    rows = np.array([3, 699, 3, 0])
    assert (np.concatenate(list(pictures.batches(3, rows))) == pictures.images[rows]).all()
    assert list(pictures.batches(3, rows[:0])) == []


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="needs Linux's account of mapped memory")
def test_pages_that_were_read_are_given_back(tmp_path: Path) -> None:
    pictures, name = mapped(tmp_path), str(tmp_path / "images.npy")
    for _ in pictures.batches(64):
        pass
    assert held(name) < 300
    assert pictures.images.sum() > 0 and held(name) > 2000  # the account does count them
