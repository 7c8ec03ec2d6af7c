"""Directions of tagger attributes: each face gets its own, found by optimization when it is moved."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from kaogan.aux_models.tagger import load_tagger
from kaogan.core.errors import UsageError, nearest
from kaogan.generate.explore.attribute_edit import edit
from kaogan.generate.explore.directions_io import TAGGER_FORMAT, BoundDirections, DirectionSet, write_directions
from kaogan.generate.explore.latent_point import LatentPoint, with_styles
from kaogan.generate.explore.paths import between, default_interpolation
from kaogan.generate.model import Model

MAX_CACHED = 256  # edited points kept in memory, so that dragging a slider does not repeat the search


@dataclass(frozen=True)
class TaggerDirections(DirectionSet):
    """One direction for each attribute value of the tagger, such as "hair=blue".

    No single vector of z changes an attribute for all faces (measured in docs/results/editing.md), so a face is
    moved towards the result of ``edit``. ``size`` is the latent size of the model. ``keep`` lists the attributes that
    must not change; None means all other attributes of the tagger. The condition of a conditional model changes as
    well.
    """

    names: tuple[str, ...]
    size: int
    space: str = "z"
    keep: tuple[str, ...] | None = None
    method = "tagger"

    @classmethod
    def of(cls, model: Model, space: str = "z", keep: Sequence[str] | None = None) -> TaggerDirections:
        """The directions of all values of all tagger attributes. Raises UsageError for an unknown name in ``keep``."""
        values = load_tagger().values
        for name in keep or ():
            if name not in values:
                raise UsageError(f"the tagger has no attribute '{name}'{nearest(name, values)}")
        names = tuple(f"{name}={value}" for name, known in values.items() for value in known)
        return cls(names, model.latent_size, space, None if keep is None else tuple(keep))

    def save(self, path: str | os.PathLike[str]) -> Path:
        header = {
            "format": TAGGER_FORMAT, "method": self.method, "space": self.space, "names": self.names, "keep": self.keep,
        }  # fmt: skip
        return write_directions(path, header, {"size": torch.tensor(self.size)})

    def bind(self, model: Model) -> BoundTaggerDirections:
        if model.latent_size != self.size:
            raise UsageError(
                f"these directions belong to another model: their size is {self.size}, the model's {model.latent_size}"
            )
        if self.space == "w":
            with_styles(model, [])  # raises if the model has no w
        return BoundTaggerDirections(model, self)


class BoundTaggerDirections(BoundDirections):
    """Tagger directions of one model, with a cache of the edited faces."""

    directions: TaggerDirections

    def __init__(self, model: Model, directions: TaggerDirections) -> None:
        super().__init__(model, directions)
        self._edited: OrderedDict[tuple[str, bytes], LatentPoint] = OrderedDict()

    def move(self, point: LatentPoint, name: str, strength: float) -> LatentPoint:
        """``strength`` of the way from the point to its edited version (see ``edit``)."""
        self.directions.index(name)
        (start,) = self.to_space([point])
        if strength == 0:
            return start
        moved = between(start, self._edit(start, name), float(strength), "linear")
        if start.w is None and default_interpolation(self.model) == "slerp" and float(moved.z.norm()):
            return replace(moved, z=moved.z * (start.z.norm() / moved.z.norm()))
        return moved

    def _edit(self, point: LatentPoint, name: str) -> LatentPoint:
        parts = [part for part in (point.z, point.condition, point.w) if part is not None]
        key = (name, b"".join(part.numpy().tobytes() for part in parts))
        if key not in self._edited:
            attribute, _, value = name.partition("=")
            keep = self.directions.keep
            others = None if keep is None else [each for each in keep if each != attribute]
            self._edited[key] = edit(self.model, point, {attribute: value}, keep=others)
            while len(self._edited) > MAX_CACHED:
                self._edited.popitem(last=False)
        self._edited.move_to_end(key)
        return self._edited[key]
