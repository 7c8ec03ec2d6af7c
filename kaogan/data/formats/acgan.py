"""Format of the first ACGAN program: ``images/{index}.jpg``, ``tags.pickle``, ``hair_prob.npy``, ``eye_prob.npy``.

The tags are a dict from index to (hair one-hot of 12, eyes one-hot of 10), or to one vector of 22 as its README says.
The class priors in the two arrays follow from the tags.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from kaogan.core.errors import KaoganError
from kaogan.core.schema import EYES, HAIR
from kaogan.data.formats.base import FORMATS, Format
from kaogan.data.labels import LabelTable
from kaogan.data.layout import Layout, entry_names, folder_of, relative_to, top_side, whole
from kaogan.data.sources import Source

TAGS = "tags.pickle"
PRIORS = {"hair": ("hair_prob.npy", HAIR), "eyes": ("eye_prob.npy", EYES)}


class Acgan(Format):
    name = "acgan"
    title = "the first ACGAN: images/0.jpg ..., tags.pickle, hair_prob.npy, eye_prob.npy"
    needs = TAGS

    def layout(self, source: Source) -> Layout | None:
        file = top_side(source, TAGS)
        if file is None:
            return None
        where = str(source.path / file)
        tags = _tags(source.read_side(file), where)
        names = relative_to(entry_names(source), folder_of(file))
        table: dict[str, list[str]] = {"hair": [""] * len(names), "eyes": [""] * len(names)}
        doubtful = tagged = 0
        for row, name in enumerate(names):
            stem = PurePosixPath(name).stem
            tag = tags.get(int(stem)) if stem.isascii() and stem.isdecimal() and len(stem) < 19 else None
            if tag is None:
                continue
            tagged += 1
            for column, vector in zip(table.values(), _vectors(tag, f"{where}, entry {stem}"), strict=True):
                (hot,) = np.nonzero(vector > 0.5)
                doubtful += len(hot) > 1
                if len(hot) == 1:
                    column[row] = (HAIR if column is table["hair"] else EYES)[hot[0]]
        notes = _notes(source, folder_of(file), len(tags), len(names), tagged, doubtful)
        return whole(source, LabelTable(table, where, notes), names)


def _tags(data: bytes, where: str) -> Mapping[int, Any]:
    from kaogan.core.safe_pickle import read_pickle  # imports PyTorch

    tags = read_pickle(data, where)
    if not isinstance(tags, dict) or not all(isinstance(key, int | np.integer) for key in tags):
        raise KaoganError(f"{where} is not a dict from the number of a picture to its tags")
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


def _notes(source: Source, folder: str, tags: int, pictures: int, tagged: int, doubtful: int) -> list[str]:
    notes = []
    if pictures > tagged:
        notes.append(f"{pictures - tagged:,} pictures without an entry in {TAGS}: labels unknown")
    if tags > tagged:
        notes.append(f"{tags - tagged:,} entries of {TAGS} name no picture here")
    if doubtful:
        notes.append(f"{doubtful:,} tags with several colours at once: taken as unknown")
    for file, values in PRIORS.values():
        if folder + file not in source.listing.side:
            continue
        try:
            priors = np.load(io.BytesIO(source.read_side(folder + file)), allow_pickle=False)
            usable = priors.shape == (len(values),) and priors.dtype.kind == "f" and bool(np.isfinite(priors).all())
        except Exception:  # hostile headers raise more than ValueError
            usable = False
        if not usable:
            notes.append(f"{file} is not an array of {len(values)} numbers: left alone, priors follow from the tags")
    return notes


FORMATS.register(Acgan.name, Acgan())
