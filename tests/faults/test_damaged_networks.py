"""Files of the networks that help, and caches, damaged in many ways: refused, made anew, or read the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kaogan.aux_models.face_detector import detector
from kaogan.aux_models.face_detector.network import FaceNet
from kaogan.aux_models.tagger.network import ATTRIBUTES, Architecture, TaggerNetwork
from kaogan.aux_models.tagger.predict import load_tagger, save_tagger
from kaogan.aux_models.upscaler.load import load_upscaler
from kaogan.aux_models.upscaler.model import save_upscaler
from kaogan.aux_models.upscaler.networks import KaoSR
from kaogan.core.errors import KaoganError
from kaogan.core.weights_file import write_weights
from kaogan.data import load_pictures
from kaogan.data.formats.base import FORMATS
from kaogan.metrics.features import FeaturesOnly
from kaogan.metrics.reference import Reference
from kaogan.prepare.manifest import Manifest
from tests.faults.cases import EXAMPLES, Case, bounded, hold
from tests.faults.mutate import damaged
from tests.small import TINY_UPSCALER


class _Means(FeaturesOnly):
    name, label, size, fingerprint = "means", "means", 3, "f1"

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        return pictures.mean((1, 2)).astype(np.float32)


def _folder_of_pictures(folder: Path) -> Path:
    (folder / "faces").mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "faces" / f"{number}.png")
    return folder / "faces"


def _tagger(folder: Path) -> Case:
    network = TaggerNetwork(Architecture(widths=(4, 4, 4, 4), depths=(0, 0, 0, 0), features=4), folded=True)
    path = folder / "tagger.safetensors"
    save_tagger(path, network, ATTRIBUTES, {"hair": 2.0, "eyes": 0.5})

    def read() -> Any:
        tagger = load_tagger(path)
        return tagger.network.state_dict(), tagger.values, tagger.temperatures

    return Case(path, read)


def _upscaler(folder: Path) -> Case:
    path = folder / "upscaler.safetensors"
    save_upscaler(path, KaoSR(TINY_UPSCALER), TINY_UPSCALER, {"trained on": "noise"})

    def read() -> Any:
        upscaler = load_upscaler(path, "cpu")
        return upscaler.network.state_dict(), upscaler.settings, upscaler.facts

    return Case(path, read)


def _detector(folder: Path) -> Case:
    network = FaceNet([2, 2, 2, 2], fused=True)
    path = folder / "faces.safetensors"
    header = {"kaogan.faces": json.dumps({"widths": [2, 2, 2, 2], "threshold": 0.5})}
    write_weights(path, {name: value.half() for name, value in network.state_dict().items()}, header)

    def read() -> Any:
        found = detector._read(path, "fp32")  # load_detector looks for a face with it, which these weights don't find
        return found.network.state_dict(), found.threshold

    return Case(path, read)


def _features(folder: Path) -> Case:
    """A damaged cache of features is made anew."""
    reference = Reference(load_pictures(_folder_of_pictures(folder), image_size=8, cache=folder / "cache"), folder)
    before = reference.measured(_Means()).features
    [path] = (folder / "features").glob("*.safetensors")
    assert before.shape == (6, 3)
    return Case(path, lambda: reference.measured(_Means()).features)


def _remembered(folder: Path) -> Case:
    reference = Reference(load_pictures(_folder_of_pictures(folder), image_size=8, cache=folder / "cache"), folder)

    def read() -> Any:
        return reference.remembered(_Means(), ["what"], lambda: {"value": [1.5, 2, None]})

    read()
    [path] = (folder / "features").glob("*.json")
    return Case(path, read)


def _checksums(folder: Path) -> Case:
    """What is remembered of a set's contents: a flipped digit must not make it another set."""
    faces = _folder_of_pictures(folder)

    def read() -> Any:
        return load_pictures(faces, image_size=8, cache=folder / "cache").fingerprint

    read()
    [path] = (folder / "cache" / "checksums").glob("*.npz")
    return Case(path, read)


CASES: dict[str, Callable[[Path], Case]] = {
    "tagger": _tagger,
    "upscaler": _upscaler,
    "face detector": _detector,
    "cache of features": _features,
    "cache of statistics": _remembered,
    "cache of checksums": _checksums,
}


@pytest.mark.parametrize("name", CASES)
def test_damaged_networks_and_caches(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    case = CASES[name](tmp_path)
    whole, before = case.file.read_bytes(), case.read()

    @bounded()
    @given(damaged(whole))
    def check(data: bytes) -> None:
        hold(case, data, before, name)

    check()


def _manifest(path: Path) -> Any:
    manifest = Manifest(path)
    try:
        rows = list(manifest.rows("SELECT digest, number, tags FROM tags ORDER BY digest"))
        manifest.set_tags([("x", 0, "{}")])
        return len(rows)
    finally:
        manifest.close()


@dataclass
class _Anything:
    """Equal to all: of a file without checksums only the words are looked at."""

    def __eq__(self, other: object) -> bool:
        return True


@bounded()
@given(st.data())
def test_a_damaged_journal_of_prepare_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "journal"
    folder.mkdir(exist_ok=True)
    path = folder / "manifest.sqlite"
    for name in ("", "-wal", "-shm", "-journal", ".sha256"):
        Path(f"{path}{name}").unlink(missing_ok=True)
    manifest = Manifest(path)
    manifest.set_tags([(f"{number:032x}", number, '{"hair": ["pink", 0.9]}') for number in range(40)])
    manifest.close()
    Path(f"{path}.sha256").unlink()  # as after a kill: nothing but SQLite looks
    case = Case(path, lambda: _manifest(path))
    hold(case, data.draw(damaged(path.read_bytes())), _Anything(), "prepare's journal")


@bounded(max(3, EXAMPLES // 8))  # each is opened in a process of its own
@given(st.data())
def test_a_damaged_hdf5_file_is_one_line(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path_factory.getbasetemp() / "set.h5"
    with h5py.File(path, "w") as file:
        file["year_imgs"] = np.zeros((4, 8, 8, 3), np.uint8)
        file["year_labels"] = np.arange(4)
        file["year_labels"].attrs["year"] = json.dumps(["2000", "2001", "2002", "2003"])

    def read() -> None:
        with FORMATS["hdf5"].read(path) as collection:
            for item in collection.items():
                item.load()

    hold(Case(path, read), data.draw(damaged(path.read_bytes())), _Anything(), "HDF5")


def test_networks_that_come_with_kaogan_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their files are older than checksums inside of files: the code holds their SHA-256."""
    from kaogan.aux_models.feature_networks import mobilenet_v2
    from kaogan.metrics.features import efficientnet

    for module, read in (
        (mobilenet_v2, lambda: mobilenet_v2.MobileNetV2Features(64, (3,))),
        (efficientnet, lambda: efficientnet.load("efficientnet", None, False)),
    ):
        whole = bytearray(module.WEIGHTS.read_bytes())
        whole[-100] ^= 1
        (tmp_path / "weights.safetensors").write_bytes(whole)
        monkeypatch.setattr(module, "WEIGHTS", tmp_path / "weights.safetensors")
        with pytest.raises(KaoganError, match="came with kaogan"):
            read()
