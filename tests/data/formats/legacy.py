"""Sets in the layouts of the programs that kaogan reads but does not write, made as those programs make them."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from kaogan.core.schema import EYES, HAIR
from kaogan.data.sources import natural
from tests.data.formats.conftest import ROWS, pixels_of

IN_ORDER = sorted(ROWS, key=lambda row: natural(row[0]))

EYE_NUMBERS = {name: number for number, name in enumerate(sorted(EYES))}
HAIR_NUMBERS = {name: number for number, name in enumerate(sorted(HAIR))}
YEAR_NUMBERS = {name: number for number, name in enumerate(["2001", "2002", "2003"])}


def write_acgan(faces: Path, out: Path) -> Path:
    """The first ACGAN program: numbered JPEGs and a pickle of pairs of one-hot tensors."""
    tags = {}
    (out / "images").mkdir(parents=True)
    for number, (name, hair, eyes, _) in enumerate(IN_ORDER):
        Image.fromarray(pixels_of(faces / "images" / name)).save(
            out / "images" / f"{number}.jpg", quality=95, subsampling=0
        )
        tag = torch.zeros(len(HAIR)), torch.zeros(len(EYES))
        for vector, known, value in zip(tag, (HAIR, EYES), (hair, eyes), strict=True):
            if value:
                vector[known.index(value)] = 1
        tags[number] = tag
    (out / "tags.pickle").write_bytes(pickle.dumps(tags, protocol=2))
    for name, count in (("hair", len(HAIR)), ("eye", len(EYES))):
        np.save(out / f"{name}_prob.npy", np.full(count, 1 / count))
    return out


def write_acgan_new(faces: Path, out: Path) -> Path:
    """The later ACGAN program: a pickle from stem to (eyes, hair, year), and the numbers in JSON files."""
    labels = {}
    (out / "images").mkdir(parents=True)
    for name, hair, eyes, year in ROWS:
        stem = name.replace("/", "_").rpartition(".")[0]
        Image.fromarray(pixels_of(faces / "images" / name)).save(
            out / "images" / f"{stem}.jpg", quality=95, subsampling=0
        )
        labels[stem] = EYE_NUMBERS.get(eyes), HAIR_NUMBERS.get(hair), YEAR_NUMBERS.get(year)
    (out / "labels.pkl").write_bytes(pickle.dumps(labels, protocol=2))
    for name, numbers in (("eye", EYE_NUMBERS), ("hair", HAIR_NUMBERS), ("year", YEAR_NUMBERS)):
        (out / f"{name}_label.json").write_text(json.dumps(numbers))
    return out


def write_hdf5(faces: Path, out: Path) -> Path:
    """The later ACGAN program's arrays: a picture with hair and eyes in one, else one with a year in the other."""
    import h5py

    both = [row for row in ROWS if row[1] and row[2]]
    years = [row for row in ROWS if row not in both and row[3]]
    with h5py.File(out, "w") as file:
        file["hair_eye_imgs"] = np.stack([pixels_of(faces / "images" / row[0]) for row in both])
        file["hair_eye_labels"] = np.array([[EYE_NUMBERS[row[2]], HAIR_NUMBERS[row[1]]] for row in both])
        file["year_imgs"] = np.stack([pixels_of(faces / "images" / row[0]) for row in years])
        file["year_labels"] = np.array([YEAR_NUMBERS[row[3]] for row in years])
        file["year_labels"].attrs["year"] = json.dumps(list(YEAR_NUMBERS))
    return out


def write_bamsgan(faces: Path, out: Path) -> Path:
    for folder in ("data_original", "data_blur", "data_his"):
        (out / folder / "class").mkdir(parents=True)
    for name, *_ in ROWS:
        shutil.copy(faces / "images" / name, out / "data_original" / "class" / name.replace("/", "_"))
    for number in range(2):
        Image.new("RGB", (16, 16), "grey").save(out / "data_blur" / "class" / f"blurred_{number}.jpg")
    return out


def write_nested(faces: Path, out: Path) -> Path:
    return Path(shutil.copytree(faces / "images", out))


WRITERS: dict[str, Callable[[Path, Path], Path]] = {
    "acgan": write_acgan,
    "acgan-new": write_acgan_new,
    "hdf5": write_hdf5,
    "bamsgan": write_bamsgan,
    "nested": write_nested,
}
