from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from kaogan.data import load_pictures
from kaogan.data.decoding import read_picture
from kaogan.data.formats import ConversionResult, Options, convert

# name, hair, eyes, year
ROWS = [
    ("a.png", "pink", "blue", "2001"),
    ("b.jpg", "black", "red", "2002"),
    ("sub/c.png", "pink", "aqua", "2001"),
    ("sub/a.png", "blonde", "", "2003"),
    ("sub/Ää 顔.png", "aqua", "red", ""),
    ("d10.png", "", "blue", "2002"),
    ("d9.png", "orange", "green", "2003"),
]


def pixels(seed: int, size: int = 16) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))


def encoded(array: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def tar(path: Path, members: Mapping[str, bytes | tarfile.TarInfo], mode: Literal["w", "w:gz"] = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            member = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(data, bytes):
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data) if isinstance(data, bytes) else None)
    return path


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A set in kaogan's form: seven pictures of 16 px with three attributes, some of them unknown."""
    folder = tmp_path / "faces"
    for seed, (name, *_) in enumerate(ROWS):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(pixels(seed), "JPEG" if name.endswith("jpg") else "PNG"))
    lines = ["file,hair,eyes,year,score", *(f"{','.join(row)},0.{seed}5" for seed, row in enumerate(ROWS))]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


Run = Callable[..., tuple[Path, ConversionResult]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run(source, to, **options)`` -> what was written, and the result."""
    number = 0

    def call(
        source: Path, to: str, source_format: str | None = None, **options: object
    ) -> tuple[Path, ConversionResult]:
        nonlocal number
        number += 1
        out = tmp_path / f"out{number}"
        result = convert(source, out, to, source_format=source_format, options=Options(**options))  # type: ignore[arg-type]
        assert not list(tmp_path.glob(".*partial*"))
        return out, result

    return call


def contents(folder: Path, attributes: list[str] | None = None) -> list[tuple[bytes, dict[str, str]]]:
    """What kaogan itself reads from a set: the pixels of each picture and its labels, in order."""
    pictures = load_pictures(folder, image_size=16, attributes=attributes or ["auto"])
    found = []
    for image, row in zip(pictures.images, pictures.labels, strict=True):
        labels = {a.name: a.values[n] for a, n in zip(pictures.schema.attributes, row, strict=True) if n >= 0}
        found.append((image.tobytes(), labels))
    return found


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(read_picture(path))
