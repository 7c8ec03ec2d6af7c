"""The tagger's attributes as directions: for each face its own, found when it is moved."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from kaogan.aux_models.tagger import load_tagger
from kaogan.core.errors import UsageError, nearest
from kaogan.generate.explore.attribute_edit import edit
from kaogan.generate.explore.directions_io import EDITS, Named, write_directions
from kaogan.generate.explore.latent_point import Point, styled
from kaogan.generate.explore.paths import between, law_of
from kaogan.generate.model import Model

KEPT = 256  # ends of moves that are remembered, so that a slider moves without another search


class Edits(Named):
    """What "hair=blue" does depends on the face: ``move`` goes towards what ``edit`` makes of it.

    No vector of z does the same for all faces (docs/explore.md has figures). The same calls as ``Directions`` has;
    ``keep`` are the attributes that stay, all others of the tagger by default, and a model's code takes part.
    """

    method = "tagger"

    def __init__(self, names: Sequence[str], size: int, space: str = "z", keep: Sequence[str] | None = None) -> None:
        self.names, self.size, self.space = tuple(names), size, space
        self.keep = None if keep is None else tuple(keep)
        self._model: Model | None = None
        self._ends: OrderedDict[tuple[str, bytes], Point] = OrderedDict()

    @classmethod
    def of(cls, model: Model, space: str = "z", keep: Sequence[str] | None = None) -> Edits:
        """One for every value of every attribute of the tagger. Raises UsageError for unknown attributes to keep."""
        values = load_tagger().values
        for name in keep or ():
            if name not in values:
                raise UsageError(f"the tagger does not know '{name}'{nearest(name, values)}")
        names = [f"{name}={value}" for name, known in values.items() for value in known]
        return cls(names, model.latent_size, space, keep)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a safetensors file, without the model. Raises KaoganError."""
        about = {"format": EDITS, "method": self.method, "space": self.space, "names": self.names, "keep": self.keep}
        return write_directions(path, about, {"size": torch.tensor(self.size)})

    def prepare(self, model: Model, points: Sequence[Point]) -> list[Point]:
        """Points of ``model`` that ``move`` can move from now on, with their ``w`` where the space is w. Raises
        UsageError for another kind of model."""
        if model.latent_size != self.size:
            raise UsageError(
                f"these directions are of another model: they have {self.size} numbers, not {model.latent_size}"
            )
        ready = styled(model, points) if self.space == "w" else list(points)
        if self._model is not model:
            self._model = model
            self._ends.clear()
        return ready

    def move(self, point: Point, name: str, strength: float) -> Point:
        """``strength`` of the way to where the tagger sees what ``name`` says and, of all that is kept, what it saw
        before; beyond 1 is more than it needs, below 0 the opposite. Raises UsageError."""
        self.index(name)
        if strength == 0:
            return point
        if self._model is None:
            raise UsageError("these directions need a model: Directions.prepare tells them which")
        moved = between(point, self._end(point, name), float(strength), "linear")
        if point.w is None and law_of(self._model) == "slerp" and float(moved.z.norm()):
            return replace(moved, z=moved.z * (point.z.norm() / moved.z.norm()))
        return moved

    def _end(self, point: Point, name: str) -> Point:
        assert self._model is not None
        parts: list[Tensor] = [part for part in (point.z, point.code, point.w) if part is not None]
        key = (name, b"".join(part.numpy().tobytes() for part in parts))
        if key not in self._ends:
            attribute, _, value = name.partition("=")
            keep = None if self.keep is None else [each for each in self.keep if each != attribute]
            self._ends[key] = edit(self._model, point, {attribute: value}, keep=keep)
            while len(self._ends) > KEPT:
                self._ends.popitem(last=False)
        self._ends.move_to_end(key)
        return self._ends[key]
