"""The index of a sharded dataset: ``shards.json`` and the columns in ``index.npz``.

Text is stored as Arrow does: one array of UTF-8 bytes and the places where each value ends; a column of labels as codes
into its different values. So a million pictures are a few arrays, and nothing is made of names that nobody asks for.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from kaogan.core.atomic_io import atomic, write_text
from kaogan.core.errors import KaoganError
from kaogan.core.weights_file import holds_digest

MANIFEST, INDEX = "shards.json", "index.npz"
SHARD = "shard-{:06d}.tar"
FORMAT = 1
CHECKSUM = "manifest_sha256"  # of the other keys


class TextColumn(Sequence[str]):
    """Text values that are decoded when they are asked for."""

    def __init__(self, data: np.ndarray, ends: np.ndarray) -> None:
        _check_integers(ends, len(ends), 0, data.size)
        if data.dtype != np.uint8 or data.ndim != 1 or (ends[1:] < ends[:-1]).any():  # each as long as all of them
            raise ValueError("ends of texts")
        self._data, self._ends = data, ends

    @classmethod
    def of(cls, values: Sequence[str]) -> TextColumn:
        encoded = [value.encode("utf-8", "surrogatepass") for value in values]
        ends = np.cumsum([len(each) for each in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), _narrow(ends))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        return {f"{name}.data": self._data, f"{name}.ends": self._ends}

    def __len__(self) -> int:
        return len(self._ends)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TextColumn):
            return NotImplemented
        return np.array_equal(self._ends, other._ends) and np.array_equal(self._data, other._data)

    __hash__ = None  # type: ignore[assignment]

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self[each] for each in range(*at.indices(len(self)))]
        at = range(len(self))[at]
        start = int(self._ends[at - 1]) if at else 0
        return self._data[start : int(self._ends[at])].tobytes().decode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Shard:
    name: str
    count: int  # pictures
    size: int  # bytes of the tar


@dataclass(frozen=True)
class ShardIndex:
    """N pictures in the order of the shards, and K columns of labels."""

    shards: tuple[Shard, ...]
    digest: str  # hex, of the index; changes with the names, sizes, contents or labels of the pictures
    offset: np.ndarray  # integers (N,): where a picture begins in its shard
    size: np.ndarray  # integers (N,), bytes
    checksum: np.ndarray  # integers (N,), CRC-32
    names: TextColumn
    labels: Mapping[str, list[str]]  # "" where unknown

    def __len__(self) -> int:
        return len(self.offset)


class IndexBuilder:
    """Collects what an index holds while shards are written."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)
        self.shards: list[Shard] = []
        self._places: list[tuple[int, int, int]] = []
        self._names: list[str] = []
        self._values: list[dict[str, int]] = [{} for _ in columns]
        self._codes: list[list[int]] = [[] for _ in columns]

    def add(self, name: str, offset: int, size: int, checksum: int, labels: Mapping[str, str]) -> None:
        self._places.append((offset, size, checksum))
        self._names.append(name)
        for column, values, codes in zip(self.columns, self._values, self._codes, strict=True):
            value = labels.get(column, "")
            codes.append(values.setdefault(value, len(values)) if value else -1)

    def write(self, folder: Path, made_by: str) -> None:
        """First the index, then the manifest that vouches for it. Raises KaoganError for a full disk."""
        places = np.array(self._places, np.int64).reshape(-1, 3)
        arrays = {name: _narrow(places[:, at]) for at, name in enumerate(("offset", "size", "checksum"))}
        arrays |= TextColumn.of(self._names).arrays("name")
        for number, (values, codes) in enumerate(zip(self._values, self._codes, strict=True)):
            arrays[f"label{number}.codes"] = _narrow(np.array(codes, np.int64))
            arrays |= TextColumn.of(list(values)).arrays(f"label{number}.values")
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        data = buffer.getvalue()
        with atomic(folder / INDEX) as temporary:
            temporary.write_bytes(data)
        manifest = {
            # The first three are the index that webdataset's own random access (wids) reads.
            "__kind__": "wids-shard-index-v1",
            "wids_version": 1,
            "shardlist": [{"url": s.name, "nsamples": s.count, "filesize": s.size} for s in self.shards],
            "kaogan_shards": FORMAT,
            "made_by": made_by,
            "columns": self.columns,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        manifest[CHECKSUM] = _checksum(manifest)
        write_text(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def _checksum(manifest: Mapping[str, Any]) -> str:
    others = {key: value for key, value in manifest.items() if key != CHECKSUM}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def _narrow(values: np.ndarray) -> np.ndarray:
    """The same integers in the smallest type that holds them."""
    low, high = (values.min(), values.max()) if len(values) else (0, 0)
    kind = np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high))
    return values.astype(kind)


def read_index(manifest: bytes, index: bytes, where: str) -> ShardIndex:
    """The index of the contents of its two files. Raises KaoganError when they are damaged or not of one set."""
    try:
        found = json.loads(manifest)
        if found.get("kaogan_shards") != FORMAT:
            raise KaoganError(
                f"{where}/{MANIFEST} is of another program or version; write the shards anew with "
                "kaogan convert or kaogan prepare --shards"
            )
        # Sets of an older kaogan have no checksum of the manifest, and no value like one but the index's.
        others = [value for key, value in found.items() if key != "sha256"]
        if (CHECKSUM in found or holds_digest(others)) and found.get(CHECKSUM) != _checksum(found):
            raise ValueError("its checksum does not match")
        shards = tuple(Shard(_plain_name(s["url"]), int(s["nsamples"]), int(s["filesize"])) for s in found["shardlist"])
        columns, digest = [str(name) for name in found["columns"]], str(found["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise KaoganError(f"{where}/{MANIFEST} is damaged; copy or write the set again") from error
    if hashlib.sha256(index).hexdigest() != digest:
        raise KaoganError(f"{where}/{INDEX} is not the one of {MANIFEST}; copy or write the set again")
    try:
        members = zipfile.ZipFile(io.BytesIO(index)).infolist()
        # Arrays are written as they are: those that claim more bytes than there are would fill the memory.
        if any(m.compress_type for m in members) or sum(m.file_size for m in members) > len(index):
            raise ValueError("compressed or overlapping arrays")
        return _from_arrays(np.load(io.BytesIO(index), allow_pickle=False), shards, columns, digest)
    except Exception as error:  # a hostile zip of arrays raises more than is written anywhere, MemoryError too
        raise KaoganError(f"{where}/{INDEX} is damaged; copy or write the set again") from error


def _from_arrays(arrays: Mapping[str, Any], shards: tuple[Shard, ...], columns: list[str], digest: str) -> ShardIndex:
    offset, size, checksum = arrays["offset"], arrays["size"], arrays["checksum"]
    lengths, counts = (np.array([getattr(s, name) for s in shards], np.int64) for name in ("size", "count"))
    count = len(offset)
    if counts.sum() != count or (counts > count).any():
        raise ValueError("shards and pictures")
    room = np.repeat(lengths, counts)
    longest = int(room.max(initial=0))
    for values, most in ((offset, longest), (size, longest), (checksum, 2**32 - 1)):
        _check_integers(values, count, 0, most)
    if (size.astype(np.int64) > room - offset.astype(np.int64)).any():
        raise ValueError("pictures beyond the end of a shard")
    labels = {}
    for number, name in enumerate(columns):
        values = [*TextColumn(arrays[f"label{number}.values.data"], arrays[f"label{number}.values.ends"]), ""]
        codes = arrays[f"label{number}.codes"]
        _check_integers(codes, count, -1, len(values) - 2)
        labels[name] = np.array(values, object)[codes].tolist()  # -1 is the last, ""
    names = TextColumn(arrays["name.data"], arrays["name.ends"])
    if len(names) != count:
        raise ValueError("names and pictures")
    return ShardIndex(shards, digest, offset, size, checksum, names, labels)


def _check_integers(values: np.ndarray, count: int, least: int, most: int) -> None:
    """Raise ValueError for anything but ``count`` integers from ``least`` to ``most``."""
    if values.dtype.kind not in "iu" or values.shape != (count,):
        raise ValueError("integers")
    if count and not least <= int(values.min()) <= int(values.max()) <= most:
        raise ValueError("integers out of range")


def _plain_name(name: Any) -> str:
    """A name below the set's own folder: what a manifest says is no reason to read anything else."""
    if not isinstance(name, str) or not name or name.startswith(("/", "\\")) or ".." in name or ":" in name:
        raise ValueError(name)
    return name
