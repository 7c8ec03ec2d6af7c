"""Base classes of direction sets, and the writing of direction files (safetensors with a JSON header)."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from kaogan.core.errors import UsageError, nearest
from kaogan.core.weights_file import write_weights
from kaogan.generate.explore.latent_point import LatentPoint, with_styles
from kaogan.generate.model import Model

VECTOR_FORMAT, TAGGER_FORMAT = 1, 2
NEWEST_FORMAT = TAGGER_FORMAT
HEADER = "kaogan-directions"
MAX_BYTES = 64 * 2**20


class DirectionSet(ABC):
    """Named directions of a latent space, independent of a loaded model. ``space`` is "z" or "w"."""

    names: tuple[str, ...]
    space: str

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """The number of a direction. Raises UsageError that suggests the nearest name."""
        if name not in self.names:
            raise UsageError(f"unknown direction '{name}'{nearest(name, self.names)}")
        return self.names.index(name)

    @abstractmethod
    def bind(self, model: Model) -> BoundDirections:
        """The directions ready to move points of ``model``. Raises UsageError if they belong to another model."""

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a direction file and return its path. Raises KaoganError."""


class BoundDirections(ABC):
    """A direction set together with the model whose points it moves."""

    def __init__(self, model: Model, directions: DirectionSet) -> None:
        self.model, self.directions = model, directions

    @property
    def names(self) -> tuple[str, ...]:
        return self.directions.names

    def to_space(self, points: Sequence[LatentPoint]) -> list[LatentPoint]:
        """The points with their styles ``w`` if the directions are in w. Doing this once saves time in ``move``."""
        return with_styles(self.model, points) if self.directions.space == "w" else list(points)

    @abstractmethod
    def move(self, point: LatentPoint, name: str, strength: float) -> LatentPoint:
        """The point moved along the direction ``name``; strength 0 changes nothing, 1 is the usual effect, negative
        strengths have the opposite effect. Raises UsageError for an unknown name."""


def write_directions(path: str | os.PathLike[str], header: Mapping[str, Any], tensors: dict[str, Tensor]) -> Path:
    """Write a direction file with its checksum. Raises KaoganError."""
    write_weights(Path(path), tensors, {HEADER: json.dumps(header)})
    return Path(path)


def is_direction_file(path: Path) -> bool:
    """Whether the header of the file says that it is a direction file; its tensors are not read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return False
        with safe_open(path, "pt") as file:
            return HEADER in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False
