"""The attribute schema: what a set of pictures is labelled with, each attribute a slice of one vector."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from kaogan.core.errors import UsageError, nearest

if TYPE_CHECKING:  # who only reads labels does not wait for torch
    import torch
    from torch import Tensor

UNKNOWN = -1

# The twelve hair and ten eye colours of the ACGAN program, in its order.
HAIR = ("orange", "white", "aqua", "gray", "green", "red", "purple", "pink", "blue", "black", "brown", "blonde")
EYES = ("black", "orange", "pink", "yellow", "aqua", "purple", "green", "brown", "red", "blue")


@dataclass(frozen=True)
class Attribute:
    """One attribute: its name, its values, and how often each occurs (sums to 1)."""

    name: str
    values: tuple[str, ...]
    priors: tuple[float, ...]

    def index(self, value: str) -> int:
        """The position of ``value``. Raises UsageError that names the nearest known value."""
        if value not in self.values:
            raise UsageError(f"unknown {self.name} '{value}'{nearest(value, self.values)}")
        return self.values.index(value)


@dataclass(frozen=True)
class Schema:
    """An ordered list of attributes. Labels are int64 (N, K), one column an attribute, -1 where unknown;
    conditions are float32 (N, A), A = the sum of the numbers of values, one-hot inside each known slice."""

    attributes: tuple[Attribute, ...] = ()

    @classmethod
    def from_labels(cls, names: Sequence[str], values: Sequence[Sequence[str]], labels: np.ndarray) -> Schema:
        """A schema whose priors are the frequencies of the known labels (uniform where none is known)."""
        attributes = []
        for column, (name, known) in enumerate(zip(names, values, strict=True)):
            counts = np.bincount(labels[labels[:, column] >= 0, column], minlength=len(known)).astype(float)
            priors = counts / counts.sum() if counts.sum() else np.full(len(known), 1 / len(known))
            attributes.append(Attribute(name, tuple(known), tuple(float(p) for p in priors)))
        return cls(tuple(attributes))

    @classmethod
    def from_json(cls, data: Iterable[Mapping[str, Any]]) -> Schema:
        return cls(tuple(Attribute(a["name"], tuple(a["values"]), tuple(a["priors"])) for a in data))

    def to_json(self) -> list[dict[str, Any]]:
        return [{"name": a.name, "values": list(a.values), "priors": list(a.priors)} for a in self.attributes]

    def __bool__(self) -> bool:
        return bool(self.attributes)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(a.name for a in self.attributes)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(a.values) for a in self.attributes)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        ends = np.cumsum((0, *self.sizes))
        return tuple(slice(int(a), int(b)) for a, b in itertools.pairwise(ends))

    @property
    def size(self) -> int:
        """The length of a condition."""
        return sum(self.sizes)

    def __getitem__(self, name: str) -> Attribute:
        """Raises UsageError when no attribute has this name."""
        for attribute in self.attributes:
            if attribute.name == name:
                return attribute
        if not self.attributes:
            raise UsageError(f"no attribute '{name}': this model was trained without attributes")
        raise UsageError(f"unknown attribute '{name}'{nearest(name, self.names)}")

    def encode(self, labels: np.ndarray | Tensor) -> Tensor:
        """Labels (N, K) -> conditions (N, A), one-hot, on the labels' device; an unknown attribute is zeros."""
        import torch

        labels = torch.as_tensor(labels)
        parts = [labels.new_zeros(len(labels), 0, dtype=torch.bool)]
        for column, size in enumerate(self.sizes):
            parts.append(labels[:, column, None] == torch.arange(size, device=labels.device))
        return torch.cat(parts, 1).float()

    def sample(self, count: int, generator: torch.Generator, uniform: bool = False) -> Tensor:
        """Labels (count, K) drawn independently from the priors, or uniformly."""
        import torch

        columns = []
        for attribute in self.attributes:
            weights = torch.tensor([1.0] * len(attribute.values) if uniform else attribute.priors, dtype=torch.float64)
            columns.append(torch.multinomial(weights, count, replacement=True, generator=generator))
        return torch.stack(columns, 1) if columns else torch.empty(count, 0, dtype=torch.int64)
