"""Linear directions in z or w: unit vectors with names, their file format, and moving points along them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.core.weights_file import check_digest, read_weights
from kaogan.generate.explore.attribute_directions import TaggerDirections
from kaogan.generate.explore.directions_io import (
    HEADER,
    MAX_BYTES,
    NEWEST_FORMAT,
    TAGGER_FORMAT,
    VECTOR_FORMAT,
    BoundDirections,
    DirectionSet,
    write_directions,
)
from kaogan.generate.explore.latent_point import LatentPoint, style_generator, with_latent
from kaogan.generate.model import Model


@dataclass(frozen=True, eq=False)
class Directions(DirectionSet):
    """Named unit vectors of a latent space, the same for all faces.

    ``vectors`` (D, S) have length 1; ``lengths`` (D,) are the distances moved at strength 1. ``space`` is "z", or "w"
    of a StyleGAN model; there ``layers`` (first, last) are the styles that are moved (None: all). With ``keep_length``
    a moved z keeps its norm, because normal latents all have nearly the same one.
    """

    space: str
    names: tuple[str, ...]
    vectors: Tensor
    lengths: Tensor
    method: str
    layers: tuple[int, int] | None = None
    keep_length: bool = False

    def bind(self, model: Model) -> BoundVectors:
        size = style_generator(model).mapping.w_avg.numel() if self.space == "w" else model.latent_size
        if size != self.vectors.shape[1]:
            raise UsageError(
                f"these directions belong to another model: their size is {self.vectors.shape[1]}, the model's {size}"
            )
        return BoundVectors(model, self)

    def orthogonal_to(self, *kept: str) -> Directions:
        """The same directions, made orthogonal to those of the attributes ``kept``, which then stay unchanged to first
        order. Raises UsageError for an unknown attribute and if nothing of a direction remains."""
        rows = [k for k, name in enumerate(self.names) if name.partition("=")[0] in kept]
        known = sorted({name.partition("=")[0] for name in self.names if "=" in name})
        for name in kept:
            if name not in known:
                raise UsageError(f"cannot keep '{name}': there are no directions of it{nearest(name, known)}")
        plane = torch.linalg.qr((self.vectors[rows] * self.lengths[rows, None]).double().T)[0]
        vectors = self.vectors.double()
        others = [k for k in range(len(self)) if k not in rows]
        vectors[others] -= vectors[others] @ plane @ plane.T
        norms = vectors.norm(dim=1, keepdim=True)
        if float(norms.min()) < 1e-6:
            lost = self.names[int(norms.argmin())]
            raise UsageError(f"nothing remains of the direction '{lost}' if {', '.join(kept)} must not change")
        return replace(self, vectors=(vectors / norms).float(), method=f"{self.method}, {', '.join(kept)} kept")

    def save(self, path: str | os.PathLike[str]) -> Path:
        header = {"format": VECTOR_FORMAT, "space": self.space, "method": self.method, "names": self.names,
                  "layers": self.layers, "keep_length": self.keep_length}  # fmt: skip
        return write_directions(
            path, header, {"vectors": self.vectors.contiguous(), "lengths": self.lengths.contiguous()}
        )


class BoundVectors(BoundDirections):
    """Linear directions of one model."""

    directions: Directions

    def move(self, point: LatentPoint, name: str, strength: float) -> LatentPoint:
        found = self.directions
        index = found.index(name)
        (point,) = self.to_space([point])
        if strength == 0:
            return point
        step = found.vectors[index] * (float(strength) * float(found.lengths[index]))
        if point.w is not None and found.space == "w":
            w = point.w.clone()
            first, last = found.layers or (0, len(w) - 1)
            w[first : last + 1] += step
            return replace(point, w=w)
        z = point.z + step
        if found.keep_length and float(z.norm()):
            z = z * (point.z.norm() / z.norm())
        return with_latent(self.model, point, z)


def load_directions(path: str | os.PathLike[str]) -> Directions | TaggerDirections:
    """Read a direction file. Raises KaoganError if it is damaged or something else."""
    path = Path(path)
    tensors, metadata = read_weights(path, "direction file", MAX_BYTES)
    if HEADER not in metadata:
        raise KaoganError(f"{path} is no direction file; kaogan explore directions writes one")
    check_digest(path, tensors, metadata)
    try:
        header = json.loads(metadata[HEADER])
        if int(header["format"]) > NEWEST_FORMAT:
            raise KaoganError(f"{path} was written by a newer kaogan; upgrade kaogan to read it")
        space, names = str(header["space"]), tuple(map(str, header["names"]))
        if space not in ("z", "w"):
            raise KaoganError(f"{path} is damaged: unknown space '{space[:40]}'")
        if int(header["format"]) == TAGGER_FORMAT:
            return _tagger_directions(space, names, header, tensors["size"])
        vectors, lengths = tensors["vectors"].float(), tensors["lengths"].float()
        layers = header["layers"]
        found = Directions(
            space, names, vectors, lengths, str(header["method"]),
            None if layers is None else (int(layers[0]), int(layers[1])), bool(header["keep_length"]),
        )  # fmt: skip
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise KaoganError(f"{path} is damaged or no direction file ({' '.join(str(error).split())})") from None
    complete = vectors.ndim == 2 and lengths.shape == (len(found),) == vectors.shape[:1]
    if not (complete and torch.isfinite(vectors).all() and torch.isfinite(lengths).all()):
        raise KaoganError(f"{path} is damaged: its vectors do not match its names")
    return found


def _tagger_directions(space: str, names: tuple[str, ...], header: Mapping[str, Any], size: Tensor) -> TaggerDirections:
    keep = header["keep"]
    return TaggerDirections(names, int(size), space, None if keep is None else tuple(map(str, keep)))
