"""Uploads: pictures of a new set, and faces found in models, in the studio's first folder.

Nothing that an upload says becomes a path: sets have plain names, files are called by their digests.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.weights_file import check_digest, read_weights, write_weights
from kaogan.data.decoding import BrokenPicture, read_picture
from kaogan.generate.explore import LatentPoint
from kaogan.generate.explore.latent_point import style_generator
from kaogan.generate.model import Model
from kaogan.studio.index import IMAGE_SUFFIXES

PICTURES, SETS, FACES = "pictures", "sets", ".kaogan-faces"  # folders: as uploaded, prepared, found in models
MAX_PICTURE_BYTES = 64 * 2**20
MAX_ARCHIVE_BYTES = 4 * 2**30
MAX_FILES = 100_000  # of one set
MAX_FOUND_BYTES = 16 * 2**20  # of the file of a found face
ARCHIVES = {".zip"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")


class Uploads:
    def __init__(self, root: Path, allowed: bool) -> None:
        """``allowed``: whether anything may be uploaded, as only from the studio's own machine."""
        self.root, self.allowed = root, allowed

    def set_folders(self, name: str) -> tuple[Path, Path]:
        """Where the pictures of a set are, and where it is prepared. Raises UsageError."""
        self.check_allowed()
        if not NAME.fullmatch(name):
            raise UsageError("the name of a set is made of letters, digits, - and _")
        return self.root / PICTURES / name, self.root / SETS / name

    def check_allowed(self) -> None:
        """Raises UsageError."""
        if not self.allowed:
            raise UsageError("pictures can be uploaded only from the studio's own machine (--host 127.0.0.1)")

    async def add_picture(self, name: str, file: str, parts: AsyncIterator[bytes]) -> int:
        """Store a picture or a zip of pictures for the set ``name``; how many files it has now.

        ``file`` is what the visitor calls it, of which only the ending counts. Raises UsageError.
        """
        folder, _ = self.set_folders(name)
        suffix = os.path.splitext(file)[1].lower()  # noqa: PTH122 - no path of this machine
        if suffix not in IMAGE_SUFFIXES | ARCHIVES:
            raise UsageError(f"'{file[-60:]}' is neither a picture ({', '.join(sorted(IMAGE_SUFFIXES))}) nor a zip")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            count = sum(not each.name.startswith(".") for each in os.scandir(folder))
            if count >= MAX_FILES:
                raise UsageError(f"a set has at most {MAX_FILES:,} files; put them into a zip")
            temporary = folder / f".{secrets.token_hex(8)}"
            try:
                digest = await _write(temporary, parts, MAX_ARCHIVE_BYTES if suffix in ARCHIVES else MAX_PICTURE_BYTES)
                target = folder / f"{digest[:24]}{suffix}"
                new = not target.exists()
                temporary.replace(target)
            finally:
                with suppress(FileNotFoundError):
                    temporary.unlink()
        except OSError as error:
            raise KaoganError(f"{folder} cannot be written: {error.strerror or error}") from error
        return count + new

    def add_face(self, model: Model, point: LatentPoint) -> str:
        """Keep a face that was found in ``model``; its name, u and 16 hex digits. Raises KaoganError."""
        tensors = {name: value.contiguous() for name, value in vars(point).items() if value is not None}
        content = b"".join(value.numpy().tobytes() for value in tensors.values())
        name = f"u{hashlib.sha256(content).hexdigest()[:16]}"
        write_weights(self.root / FACES / f"{name}.safetensors", tensors, {"format": "pt"})
        return name

    def face(self, model: Model, name: str) -> LatentPoint:
        """Raises UsageError for a face that is unknown or of another kind of model, KaoganError for a damaged file."""
        path = self.root / FACES / f"{name}.safetensors"
        if not re.fullmatch(r"u[0-9a-f]{16}", name) or not path.is_file():
            raise UsageError("this face is no longer kept; upload its picture again")
        tensors, metadata = read_weights(path, "face", MAX_FOUND_BYTES)
        check_digest(path, tensors, metadata)
        z, condition, w = tensors.get("z"), tensors.get("condition"), tensors.get("w")
        fits = (
            z is not None and z.shape == (model.latent_size,) and all(torch.isfinite(t).all() for t in tensors.values())
        )
        codes = (model.attributes.size,) if model.attributes else None
        if model.has_style_space:
            generator = style_generator(model)
            fits = fits and (w is None or w.shape == (generator.num_ws, generator.mapping.w_avg.numel()))
        else:
            fits = fits and w is None
        if not fits or (None if condition is None else tuple(condition.shape)) != codes:
            raise UsageError("this face was found in another model; upload its picture again for this one")
        assert z is not None
        return LatentPoint(z, condition, w)


async def _write(path: Path, parts: AsyncIterator[bytes], most: int) -> str:
    """The SHA-256 of what was written. Raises UsageError for nothing and for more than ``most`` bytes."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        async for part in parts:
            size += len(part)
            if size > most:
                raise UsageError(f"a file may have at most {most // 2**20:,} MB")
            digest.update(part)
            file.write(part)
    if not size:
        raise UsageError("this file is empty")
    return digest.hexdigest()


async def read_face(parts: AsyncIterator[bytes]) -> Any:
    """A picture of a face, uint8 (H, W, 3), from the bytes of its file. Raises UsageError."""
    content = b""
    async for part in parts:
        content += part
        if len(content) > MAX_PICTURE_BYTES:
            raise UsageError(f"a picture may have at most {MAX_PICTURE_BYTES // 2**20} MB")
    try:
        return np.asarray(read_picture(content, 3))
    except BrokenPicture as broken:
        raise UsageError(f"this is no picture of a face: {broken.reason}") from None
