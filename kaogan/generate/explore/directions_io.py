"""What directions of every kind share: names, and files, safetensors whose metadata tell, as JSON in one entry, what
they are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kaogan.core.atomic_io import atomic
from kaogan.core.errors import KaoganError, UsageError, nearest

VECTORS, EDITS = 1, 2  # what a file holds
FORMAT = EDITS  # the newest that is understood
HEADER = "kaogan-directions"
MAX_BYTES = 64 * 2**20


class Named:
    """Directions with ``names``."""

    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Raises UsageError that names the nearest direction."""
        if name not in self.names:
            raise UsageError(f"unknown direction '{name}'{nearest(name, self.names)}")
        return self.names.index(name)


def write_directions(path: str | os.PathLike[str], about: Mapping[str, Any], tensors: dict[str, Tensor]) -> Path:
    """A safetensors file of directions. Raises KaoganError."""
    try:
        with atomic(path) as temporary:
            # One entry, since safetensors writes several in an order that changes from call to call.
            save_file(tensors, temporary, {HEADER: json.dumps(about)})
    except SafetensorError as error:
        raise KaoganError(f"could not write {path}: {error}; is there space on the disk?") from error
    return Path(path)


def holds_directions(path: Path) -> bool:
    """Whether the file says that it holds directions; nothing of them is read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return False
        with safe_open(path, "pt") as file:
            return HEADER in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False
