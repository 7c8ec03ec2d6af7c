from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from kaogan.data.shards.writer import Sample, write_shards

COUNT, SHARD_SIZE = 23, 5
HAIR = ("pink", "black", "")


def samples(count: int = COUNT) -> list[Sample]:
    rng = np.random.default_rng(0)
    found: list[Sample] = []
    for number in range(count):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(buffer, "PNG")
        labels: Mapping[str, str] = {"hair": HAIR[number % 3], "hair_conf": f"0.{number:03}", "eyes": "blue"}
        found.append((f"sub/顔 {number}.png", ".png", buffer.getvalue(), labels, None))
    return found


def pixels(count: int = COUNT) -> np.ndarray:
    return np.stack([np.asarray(Image.open(io.BytesIO(sample[2]))) for sample in samples(count)])


def empty_memory() -> Any:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    return memory


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """23 pictures of 8 px in shards of 5."""
    folder = tmp_path / "shards"
    folder.mkdir()
    write_shards(folder, samples(), ["hair", "hair_conf", "eyes"], SHARD_SIZE)
    return folder


@pytest.fixture
def remote(shards: Path) -> str:
    """The same behind an address of fsspec's memory."""
    memory = empty_memory()
    memory.put(str(shards), "/bucket/faces", recursive=True)
    return "memory://bucket/faces"
