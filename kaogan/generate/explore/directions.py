"""Directions in z or w: found without labels (SeFa, PCA) or with the tagger's; named, kept in a file, moved along."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.generate.explore.attribute_directions import Edits
from kaogan.generate.explore.directions_io import (
    EDITS,
    FORMAT,
    HEADER,
    MAX_BYTES,
    VECTORS,
    Named,
    write_directions,
)
from kaogan.generate.explore.latent_point import Point, styled
from kaogan.generate.model import Model


@dataclass(frozen=True, eq=False)
class Directions(Named):
    """Unit vectors of a latent space, with names.

    ``vectors`` (D, S) have the length 1; ``lengths`` (D,) say how far strength 1 goes. ``space`` is "z", or "w" of a
    style network, where ``layers`` (first, last) are the styles that are moved, all of them when None. With
    ``keep_length`` a moved z keeps its length, as normal latents have nearly all the same one.
    """

    space: str
    names: tuple[str, ...]
    vectors: Tensor
    lengths: Tensor
    method: str
    layers: tuple[int, int] | None = None
    keep_length: bool = False

    def prepare(self, model: Model, points: Sequence[Point]) -> list[Point]:
        """Points that ``move`` can move: with their ``w`` where the directions are of w.

        Raises UsageError when the directions are of another kind of model.
        """
        ready = styled(model, points) if self.space == "w" else list(points)
        for each in ready[:1]:
            size = (each.w if self.space == "w" and each.w is not None else each.z).shape[-1]
            if size != self.vectors.shape[1]:
                raise UsageError(
                    f"these directions are of another model: they have {self.vectors.shape[1]} numbers, not {size}"
                )
        return ready

    def move(self, point: Point, name: str, strength: float) -> Point:
        """The point ``strength`` times the length of the direction along it; 0 is the point itself, beyond 1 is more
        than usual, below 0 the opposite. Raises UsageError for an unknown name or a point without ``w``."""
        index = self.index(name)
        if strength == 0:
            return point
        step = self.vectors[index] * (float(strength) * float(self.lengths[index]))
        if self.space == "w":
            if point.w is None:
                raise UsageError("these directions are of w and the point has none: Directions.prepare makes it")
            w = point.w.clone()
            first, last = self.layers or (0, len(w) - 1)
            w[first : last + 1] += step
            return replace(point, w=w)
        z = point.z + step
        if self.keep_length and float(z.norm()):
            z = z * (point.z.norm() / z.norm())
        return replace(point, z=z, w=None)

    def orthogonal_to(self, *kept: str) -> Directions:
        """Directions along which the attributes ``kept`` do not change, to first order: what each direction of another
        attribute shares with the plane of theirs ("eyes=...") is taken out. Raises UsageError."""
        rows = [k for k, name in enumerate(self.names) if name.partition("=")[0] in kept]
        known = sorted({name.partition("=")[0] for name in self.names if "=" in name})
        for name in kept:
            if name not in known:
                raise UsageError(f"no directions of '{name}' to be kept from changing{nearest(name, known)}")
        plane = torch.linalg.qr((self.vectors[rows] * self.lengths[rows, None]).double().T)[0]
        vectors = self.vectors.double()
        others = [k for k in range(len(self)) if k not in rows]
        vectors[others] -= vectors[others] @ plane @ plane.T
        left = vectors.norm(dim=1, keepdim=True)
        if float(left.min()) < 1e-6:
            gone = self.names[int(left.argmin())]
            raise UsageError(f"nothing is left of '{gone}' when {', '.join(kept)} must not change")
        return replace(self, vectors=(vectors / left).float(), method=f"{self.method}, {', '.join(kept)} kept")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a safetensors file. Raises KaoganError."""
        about = {"space": self.space, "method": self.method, "names": self.names, "layers": self.layers,
                 "keep_length": self.keep_length}  # fmt: skip
        tensors = {"vectors": self.vectors.contiguous(), "lengths": self.lengths.contiguous()}
        return write_directions(path, {"format": VECTORS, **about}, tensors)


def load_directions(path: str | os.PathLike[str]) -> Directions | Edits:
    """Read what ``save`` of either wrote. Raises KaoganError when the file is something else or damaged."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise KaoganError(f"{path} is larger than {MAX_BYTES // 2**20} MB: no directions of kaogan")
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            if HEADER not in header:
                raise KaoganError(f"{path} holds no directions; kaogan directions writes them")
            about = json.loads(header[HEADER])
            if int(about["format"]) > FORMAT:
                raise KaoganError(f"{path} was written by a newer kaogan; upgrade kaogan to read it")
            space, names = str(about["space"]), tuple(map(str, about["names"]))
            if space not in ("z", "w"):
                raise KaoganError(f"{path} is damaged: there is no space '{space[:40]}'")
            if int(about["format"]) == EDITS:
                return _read_edits(space, names, about, file.get_tensor("size"))
            vectors, lengths = file.get_tensor("vectors").float(), file.get_tensor("lengths").float()
            layers = about["layers"]
            found = Directions(
                space, names, vectors, lengths, str(about["method"]),
                None if layers is None else (int(layers[0]), int(layers[1])), bool(about["keep_length"]),
            )  # fmt: skip
    except OSError as error:
        raise explain(error, path) from error
    except (SafetensorError, KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise KaoganError(f"{path} is damaged or no file of directions ({' '.join(str(error).split())})") from None
    whole = vectors.ndim == 2 and lengths.shape == (len(found),) == vectors.shape[:1]
    if not (whole and torch.isfinite(vectors).all() and torch.isfinite(lengths).all()):
        raise KaoganError(f"{path} is damaged: its vectors do not fit its names")
    return found


def _read_edits(space: str, names: tuple[str, ...], about: Mapping[str, Any], size: Tensor) -> Edits:
    keep = about["keep"]
    return Edits(names, int(size), space, None if keep is None else tuple(map(str, keep)))
