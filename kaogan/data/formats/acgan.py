"""The first ACGAN's set (system A): ``images/{index}.jpg``, ``tags.pickle``, ``hair_prob.npy``, ``eye_prob.npy``.

The tags are a dict from index to (hair one-hot of 12, eyes one-hot of 10), or to one vector of 22 as its README says.
The class priors in the two arrays follow from the tags.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kaogan.core.errors import KaoganError
from kaogan.core.schema import EYES, HAIR
from kaogan.data.formats.base import Collection, Job, collect, has_file, relative_to, side_file, write_file
from kaogan.data.formats.pickles import read_pickle
from kaogan.data.sources.base import open_source

NAME = "acgan"
TITLE = "the first ACGAN: images/0.jpg ..., tags.pickle, hair_prob.npy, eye_prob.npy"
WRITES_FILE = False
TAGS = "tags.pickle"
PRIORS = {"hair": ("hair_prob.npy", HAIR), "eyes": ("eye_prob.npy", EYES)}


def detect(path: Path) -> bool:
    return has_file(path, TAGS)


@contextmanager
def read(path: Path) -> Iterator[Collection]:
    with open_source(path) as source:
        tags = _tags(path)
        names = relative_to([entry.name for entry in source.listing.entries], "")
        table: dict[str, list[str]] = {"hair": [""] * len(names), "eyes": [""] * len(names)}
        doubtful = tagged = 0
        for row, name in enumerate(names):
            stem = PurePosixPath(name).stem
            tag = tags.get(int(stem)) if stem.isascii() and stem.isdecimal() and len(stem) < 19 else None
            if tag is None:
                continue
            tagged += 1
            for column, vector in zip(table.values(), _vectors(tag, f"{path / TAGS}, entry {stem}"), strict=True):
                (hot,) = np.nonzero(vector > 0.5)
                doubtful += len(hot) > 1
                if len(hot) == 1:
                    column[row] = (HAIR if column is table["hair"] else EYES)[hot[0]]
        notes = _notes(path, len(tags), len(names), tagged, doubtful)
        yield collect(source, table, notes, names=names, side=[TAGS, "hair_prob.npy", "eye_prob.npy"])


def write(job: Job, out: Path) -> None:
    import torch

    vectors: dict[str, dict[str, Any]] = {}
    for name, (_, values) in PRIORS.items():
        one_hot = torch.eye(len(values))
        vectors[name] = {value: one_hot[index].clone() for index, value in enumerate(values)}
        vectors[name][""] = torch.zeros(len(values))
    counts = {name: dict.fromkeys(values, 0) for name, values in vectors.items()}
    strange: set[str] = set()
    tags: dict[int, tuple[Any, ...]] = {}
    sizes: set[tuple[int, int]] = set()
    columns = job.columns()
    for index, picture in enumerate(job.pictures(("JPEG",), plain=True)):
        write_file(out / "images" / f"{index}.jpg", picture.data)
        sizes.add(picture.size)
        tag = []
        for name, known in vectors.items():
            value = picture.labels.get(name, "") if name in columns else ""
            if value not in known:
                strange.add(f"{name} {value}")
                value = ""
            counts[name][value] += 1
            tag.append(known[value])
        tags[index] = tuple(tag)
    # The program reads it with pickle.load, so a file of torch.save would not do.
    write_file(out / TAGS, pickle.dumps(tags, protocol=2))
    for name, (file, values) in PRIORS.items():
        numbers = np.array([counts[name][value] for value in values], np.float64)
        buffer = io.BytesIO()
        np.save(buffer, numbers / numbers.sum() if numbers.sum() else np.full(len(values), 1 / len(values)))
        write_file(out / file, buffer.getvalue())
        if lacking := counts[name][""]:
            job.notes.append(f"{lacking:,} pictures without {name} that this format knows: tagged with zeros")
    if strange:
        job.notes.append(f"values that this format does not know: {', '.join(sorted(strange)[:5])}")
    if left := [name for name in job.attributes if name not in PRIORS]:
        job.notes.append(f"labels left out, this format has hair and eyes only: {', '.join(left)}")
    if sizes != {(64, 64)}:
        job.notes.append("the ACGAN's code takes pictures of 64 x 64 px as they are: --size 64 makes them so")


def _tags(path: Path) -> Mapping[int, Any]:
    data = side_file(path, TAGS)
    if data is None:
        raise KaoganError(f"{path} holds no {TAGS}; name the folder that it lies in")
    tags = read_pickle(data, str(path / TAGS))
    if not isinstance(tags, dict) or not all(isinstance(key, int | np.integer) for key in tags):
        raise KaoganError(f"{path / TAGS} is not a dict from the number of a picture to its tags")
    return {int(key): tag for key, tag in tags.items()}


def _vectors(tag: Any, where: str) -> list[np.ndarray]:
    """Hair (12,) and eyes (10,)."""
    try:
        parts = [np.asarray(part, np.float64).ravel() for part in (tag if isinstance(tag, tuple | list) else [tag])]
        if len(parts) != 2:
            (whole,) = parts if len(parts) == 1 else [np.concatenate(parts)]
            parts = [whole[: len(HAIR)], whole[len(HAIR) :]]
        if [len(part) for part in parts] == [len(HAIR), len(EYES)] and all(np.isfinite(part).all() for part in parts):
            return parts
    except (ValueError, TypeError, RuntimeError):
        pass
    raise KaoganError(f"{where}: not the 12 numbers of a hair colour and the 10 of an eye colour")


def _notes(path: Path, tags: int, pictures: int, tagged: int, doubtful: int) -> list[str]:
    notes = []
    if pictures > tagged:
        notes.append(f"{pictures - tagged:,} pictures without an entry in {TAGS}: labels unknown")
    if tags > tagged:
        notes.append(f"{tags - tagged:,} entries of {TAGS} name no picture here")
    if doubtful:
        notes.append(f"{doubtful:,} tags with several colours at once: taken as unknown")
    for file, values in PRIORS.values():
        data = side_file(path, file)
        if data is None:
            continue
        try:
            priors = np.load(io.BytesIO(data), allow_pickle=False)
            usable = priors.shape == (len(values),) and priors.dtype.kind == "f" and bool(np.isfinite(priors).all())
        except Exception:  # hostile headers raise more than ValueError
            usable = False
        if not usable:
            notes.append(f"{file} is not an array of {len(values)} numbers: left alone, priors follow from the tags")
    return notes
