"""Every file that kaogan reads, damaged in many ways: one line that says so, and of weights never other numbers.

``KAOGAN_FAULTS`` is the number of damaged copies of all files; where it is set, others are made each time.
"""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kaogan.config import recipes
from kaogan.core import checkpoint
from kaogan.core.errors import KaoganError
from kaogan.core.foreign_weights import read_weight_file
from kaogan.core.safe_pickle import read_pickle
from kaogan.core.torch_file import read_torch_file
from kaogan.core.weights_file import check_digest, read_metadata, read_weights, write_weights
from kaogan.data.cache import cached_pictures
from kaogan.data.decoding import BrokenPicture, decode
from kaogan.data.formats import layout_of
from kaogan.data.label_files import PictureNames, read_csv, read_json_lines
from kaogan.data.sources import open_source
from kaogan.evaluation.page import metrics_lines
from kaogan.generate.explore.directions import Directions, load_directions
from kaogan.generate.latent_filter import read_filter, write_filter
from kaogan.generate.model import load
from kaogan.training.plots import loss_figure, read_stats
from kaogan.training.run_dir import RunDir
from tests.faults import table
from tests.faults.cases import Case, bounded, check_words, hold, refusal
from tests.faults.mutate import damaged
from tests.generate.conftest import LATENT, any_filter, tiny_model

NAMES = [f"{number:02d}.png" for number in range(6)]
CSV = "file,hair,eyes,year\n" + "".join(f"{name},pink,aqua,20{name[:2]}\n" for name in NAMES)
LINES = "".join(json.dumps({"file_name": name, "hair": "pink", "age": 3}) + "\n" for name in NAMES)
STATS = "".join(json.dumps({"clock": 8 * n, "d_loss": 1.5, "g_loss": 0.5}) + "\n" for n in range(1, 6))
METRICS = json.dumps({"clock": 9, "count": 60, "metrics": {"fd/tagger": {"value": 9, "low": 8, "high": 10}}}) + "\n"
STATE = {"layer.weight": torch.arange(24.0).reshape(4, 6), "layer.bias": torch.ones(4)}


def _picture(number: int, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)).save(out, form)
    return out.getvalue()


def _written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _model(folder: Path, name: str) -> Case:
    plain = {"family": "dcgan", "width": 4}  # without spectral norm, which takes long to build
    tiny_model(settings=plain).save(folder / "model", "", np.zeros((16, 16, 3), np.uint8))

    def read() -> Any:
        found = load(folder / "model", "cpu")
        return found.config, found.attributes, found.generator.state_dict()

    return Case(folder / "model" / name, read)


def _weights(folder: Path) -> Case:
    path = folder / "weights.safetensors"
    write_weights(path, STATE, {"kind": "test", "facts": "some"})

    def read() -> Any:
        tensors, metadata = read_weights(path)
        if check_digest(path, tensors, metadata) is None:
            raise KaoganError("a file without a digest, which is told")
        return tensors, metadata

    return Case(path, read)


def _checkpoint(folder: Path) -> Case:
    path = checkpoint.save(folder, STATE, {"clock": 8, "recipe": "tiny", "seed": 0})
    return Case(path, lambda: checkpoint.load(path))


def _directions(folder: Path) -> Case:
    vectors = torch.nn.functional.normalize(torch.arange(1.0, 13).reshape(2, 6))
    path = Directions("z", ("smile", "age"), vectors, torch.ones(2), "sefa").save(folder / "directions.safetensors")
    written = read_metadata(path)

    def read() -> Any:
        found = load_directions(path)
        if read_metadata(path).keys() != written.keys():
            raise KaoganError("a file without a digest, which is told")
        assert isinstance(found, Directions)
        return found.space, found.names, found.vectors, found.lengths, found.method, found.layers, found.keep_length

    return Case(path, read)


def _latent_filter(folder: Path) -> Case:
    path = folder / "latent_filter.safetensors"
    write_filter(path, any_filter(), STATE)

    def read() -> Any:
        found = read_filter(path, STATE, LATENT)
        return list(found.layers), found.quantiles, dict(found.report)

    return Case(path, read)


def _cache(folder: Path, name: str) -> Case:
    """Damaged pictures and indices are made anew, unless only a reader can notice, who then says so."""
    pictures = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), np.uint8)
    entries = [(f"{number}.png", picture) for number, picture in enumerate(pictures)]

    def read() -> Any:
        images, names, skipped, *_ = cached_pictures(folder, "abc", (8, 8, 3), lambda: entries)
        return torch.from_numpy(np.array(images[:])), names, skipped

    read()
    return Case(folder / "abc" / name, read)


WEIGHTS: dict[str, Callable[[Path], Case]] = {
    "model.safetensors": lambda folder: _model(folder, "model.safetensors"),
    "config.json": lambda folder: _model(folder, "config.json"),
    "weights": _weights,
    "checkpoint": _checkpoint,
    "directions": _directions,
    "latent filter": _latent_filter,
    "images.npy of the cache": lambda folder: _cache(folder, "images.npy"),
    "index.json of the cache": lambda folder: _cache(folder, "index.json"),
}


def _torch(folder: Path, zipped: bool, read: Callable[[Path], Any]) -> Case:
    path = folder / "state.pth"
    torch.save(STATE, path, _use_new_zipfile_serialization=zipped)
    return Case(path, lambda: read(path))


def _pickle(folder: Path, protocol: int) -> Case:
    path = folder / "state.pkl"
    path.write_bytes(pickle.dumps({"a": np.arange(6.0), "b": ["text", 3, None]}, protocol))
    return Case(path, lambda: read_pickle(path.read_bytes(), str(path)))


def _archive(folder: Path, kind: str) -> Case:
    path = folder / f"set.{kind}"
    files = {name: _picture(number) for number, name in enumerate(NAMES)} | {"labels.csv": CSV.encode()}
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as tar:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))

    def read() -> None:
        with open_source(path) as source:
            layout_of(source)
            for index in range(len(source.listing.entries)):
                try:
                    decode(source.read(index), 8)
                except BrokenPicture:
                    continue

    return Case(path, read)


def _text(folder: Path, name: str, content: str, read: Callable[[Path], Any]) -> Case:
    path = _written(folder / name, content)
    return Case(path, lambda: read(path))


def _run_settings(folder: Path, name: str) -> Case:
    run = RunDir(folder / "run")
    recipe = recipes.load("dcgan")
    run.write_settings(recipe, {"fingerprint": "abc", "attributes": ["hair"], "source": "faces"})
    checkpoint.save(run.checkpoints, STATE, {"clock": 8})
    run.close()
    return Case(
        folder / "run" / name,
        lambda: run.changed_settings(recipe, {"fingerprint": "abc", "attributes": ["hair"]}, recipes.load, ()),
    )


OTHERS: dict[str, Callable[[Path], Case]] = {
    "torch zip": lambda folder: _torch(folder, True, read_torch_file),
    "torch old": lambda folder: _torch(folder, False, read_torch_file),
    "import zip": lambda folder: _torch(folder, True, read_weight_file),
    "import old": lambda folder: _torch(folder, False, read_weight_file),
    "pickle 2": lambda folder: _pickle(folder, 2),
    "pickle 4": lambda folder: _pickle(folder, 4),
    "zip": lambda folder: _archive(folder, "zip"),
    "tar": lambda folder: _archive(folder, "tar"),
    "tar.gz": lambda folder: _archive(folder, "tar.gz"),
    "labels.csv": lambda folder: _text(
        folder, "labels.csv", CSV, lambda path: read_csv(path.read_bytes(), "labels.csv", PictureNames(NAMES), 6)
    ),
    "metadata.jsonl": lambda folder: _text(
        folder, "metadata.jsonl", LINES, lambda path: read_json_lines(path.read_bytes(), "it", PictureNames(NAMES), 6)
    ),
    "recipe": lambda folder: _text(folder, "my.yaml", recipes.dump(recipes.load("dcgan")), recipes.load),
    "stats.jsonl": lambda folder: _text(
        folder, "stats.jsonl", STATS, lambda path: loss_figure(read_stats(path), "losses")
    ),
    "metrics.jsonl": lambda folder: _text(folder, "metrics.jsonl", METRICS, lambda path: metrics_lines(path.parent)),
    "a run's recipe.yaml": lambda folder: _run_settings(folder, "recipe.yaml"),
    "a run's data.json": lambda folder: _run_settings(folder, "data.json"),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_damaged_weights_are_refused_or_the_same(name: str, tmp_path: Path) -> None:
    case = WEIGHTS[name](tmp_path)
    whole, before = case.file.read_bytes(), case.read()

    @bounded()
    @given(damaged(whole))
    def check(data: bytes) -> None:
        hold(case, data, before, name)

    check()


@pytest.mark.parametrize("name", OTHERS)
def test_other_damaged_files_are_one_line(name: str, tmp_path: Path) -> None:
    case = OTHERS[name](tmp_path)
    whole = case.file.read_bytes()
    assert refusal(case)[0] is None

    @bounded()
    @given(damaged(whole))
    def check(data: bytes) -> None:
        case.file.write_bytes(data)
        with table.row(name) as row:
            words, _ = refusal(case)
            if words is not None:
                check_words(words)
            row.refused += words is not None
            row.held += words is None

    check()


@bounded()
@given(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]).flatmap(lambda form: damaged(_picture(1, form))))
def test_damaged_pictures_are_broken_or_decoded(data: bytes) -> None:
    with table.row("pictures") as row:
        try:
            assert decode(data, 8).shape == (8, 8, 3)
            row.held += 1
        except BrokenPicture as broken:
            assert broken.reason and "\n" not in broken.reason
            row.refused += 1
