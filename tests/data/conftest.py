from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from kaogan.data import PictureSet, load_pictures

COLOURS = {"red": (200, 30, 40), "green": (20, 160, 60), "blue": (30, 50, 210), "gray": (128, 128, 128)}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("KAOGAN_CACHE", str(folder))
    return folder


def picture(colour: tuple[int, ...] = (200, 30, 40), size: tuple[int, int] = (12, 12)) -> Image.Image:
    return Image.new("RGB", size, colour)


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(size: tuple[int, int], seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Smooth random patches: like a picture, they survive JPEG."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC).convert(mode)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path


@pytest.fixture(params=["folder", "zip"])
def make_set(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    """The same files as a folder and as a zip."""

    def make(files: Mapping[str, bytes]) -> Path:
        if request.param == "zip":
            return write_zip(tmp_path / "set.zip", files)
        return write_folder(tmp_path / "set", files)

    return make


def notes(loaded: PictureSet) -> list[str]:
    """All but the line that says what the labels were read from."""
    return [note for note in loaded.notes if not note.startswith("labels from ")]


def load(source: Path | str | None, **options: object) -> PictureSet:
    return load_pictures(source, **{"image_size": 8, **options})  # type: ignore[arg-type]


def close(actual: np.ndarray, colour: object, tolerance: int = 3) -> bool:
    return bool(np.abs(actual.astype(int) - np.asarray(colour)).max() <= tolerance)


def swapped_profile() -> bytes:
    """sRGB with red and blue exchanged: what is stored as red is blue."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(data[128:132], "big")
    entries = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    data[red + 4 : red + 12], data[blue + 4 : blue + 12] = data[blue + 4 : blue + 12], data[red + 4 : red + 12]
    return bytes(data)
