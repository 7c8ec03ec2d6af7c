"""Files of weights: safetensors with a SHA-256 over all tensors and metadata, so that a flipped bit is noticed."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from kaogan.core.atomic_io import atomic, explain
from kaogan.core.errors import KaoganError
from kaogan.core.notes import note

DIGEST = "sha256"  # the key in the metadata
LFS = b"version https://git-lfs"


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256, in hex, of the names, dtypes, shapes and bytes of ``tensors``; their order does not matter."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        # The lengths keep apart names that contain what stands behind other names.
        digest.update(f"{len(name)} {name} {value.dtype} {tuple(value.shape)};".encode("utf-8", "surrogatepass"))
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def file_digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256, in hex, of the tensors and of all metadata but the digest itself."""
    others = {key: value for key, value in metadata.items() if key != DIGEST}
    return hashlib.sha256(f"{tensor_digest(tensors)} {json.dumps(others, sort_keys=True)}".encode()).hexdigest()


def write_weights(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file with its digest. The same content gives the same bytes. Raises KaoganError."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    content = save(tensors, {**metadata, DIGEST: file_digest(tensors, metadata)})
    with atomic(path) as temporary, temporary.open("wb") as file:
        for part in _sorted_metadata(content):
            file.write(part)


def read_weights(path: Path, what: str = "model", limit: int | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors, metadata) of a safetensors file. ``what`` is what it should be, for messages; ``limit`` its most bytes.

    Raises KaoganError for a file that cannot be read or is damaged. The digest is not checked: see ``check_digest``.
    """
    metadata = read_metadata(path, what, limit)
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError, AttributeError, TypeError) as error:
        raise damaged(path, error, what) from error


def read_metadata(path: Path, what: str = "model", limit: int | None = None) -> dict[str, str]:
    """The metadata of a safetensors file alone. Raises KaoganError."""
    try:
        if limit is not None and path.stat().st_size > limit:
            raise KaoganError(f"{path} is larger than {limit // 2**20} MB: not a {what} of kaogan")
        refuse_lfs_pointer(path)
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise damaged(path, error, what) from error
    except OSError as error:
        raise explain(error, path) from error


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a safetensors file, none of which is read. Raises KaoganError."""
    read_metadata(path)
    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error


def check_digest(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str | None:
    """The digest of the file, checked; None, and a note once, for an older file without one. Raises KaoganError."""
    written = metadata.get(DIGEST)
    if written is None and holds_digest(metadata.values()):
        raise altered(path)
    if written is None:
        note(f"{path} has no checksum (an older kaogan wrote it), so damage would not be noticed")
        return None
    if written != file_digest(tensors, metadata):
        raise altered(path)
    return written


def check_shipped(path: Path, digest: str) -> None:
    """Raise KaoganError unless a file that comes with kaogan has the SHA-256 ``digest``."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise explain(error, path) from error
    if found != digest:
        raise KaoganError(
            f"{path} is not the file that came with kaogan: its checksum does not match; install it again"
        )


def holds_digest(values: Iterable[object]) -> bool:
    """Whether one of the values of some metadata is a SHA-256: then its key was altered where the key is missing."""
    return any(isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) for value in values)


def refuse_lfs_pointer(path: Path) -> None:
    """Raise KaoganError for the text file that Git LFS leaves in the place of a large file."""
    with path.open("rb") as file:
        if file.read(len(LFS)) == LFS:
            raise KaoganError(f"{path} is a Git LFS pointer, not the file itself: run git lfs pull")


def altered(path: Path) -> KaoganError:
    return KaoganError(f"{path} was altered after it was written: its checksum does not match; copy it again")


def damaged(path: Path, error: Exception, what: str = "model") -> KaoganError:
    words = " ".join(str(error).split())[:160]
    return KaoganError(f"{path} is damaged or cut short: no {what} can be read ({words}); copy it again")


def _sorted_metadata(content: bytes) -> tuple[bytes, memoryview]:
    """The header and the data of a safetensors file; safetensors writes metadata in an order that changes each time."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    metadata = dict(sorted(header.pop("__metadata__", {}).items()))
    text = json.dumps({"__metadata__": metadata, **header}, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, memoryview(content)[8 + size :]
