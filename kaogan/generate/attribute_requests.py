"""Attribute requests of sampling: a value, a list or a mixture for each attribute, their checks, their one-hot code."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kaogan.core.errors import UsageError
from kaogan.core.rng import torch_generator
from kaogan.core.schema import Attribute, Schema

# An attribute's value for all pictures, one for each, a mixture {value: weight}, or None: drawn from the priors.
AttributeRequest = str | Sequence[str] | Mapping[str, float] | None
AttributeRequests = Mapping[str, AttributeRequest]


def merge_requests(attributes: AttributeRequests | None, named: AttributeRequests) -> dict[str, AttributeRequest]:
    """Raises UsageError for an attribute that is in both."""
    if twice := sorted(set(attributes or ()) & set(named)):
        raise UsageError(f"the attribute '{twice[0]}' is given twice: by its name and in attributes")
    return {**(attributes or {}), **named}


def part_of(value: AttributeRequest, start: int, count: int) -> AttributeRequest:
    """``value`` for the pictures ``start`` to ``start + count``: lists have an entry for each."""
    return value if value is None or isinstance(value, str | Mapping) else value[start : start + count]


def encode_requests(schema: Schema, count: int, seed: int, start: int, requests: AttributeRequests) -> Tensor:
    """One-hot codes (count, A) of the pictures ``start``, start + 1, ...; what is not asked for is drawn from the
    priors. Raises UsageError as ``check_requests``."""
    check_requests(schema, count, requests)
    parts = []
    for attribute in schema.attributes:
        value = requests.get(attribute.name)
        if value is None:
            value = [
                attribute.values[_draw(attribute, torch_generator(seed, f"sample/{attribute.name}", number))]
                for number in range(start, start + count)
            ]
        part = torch.zeros(count, len(attribute.values))
        if isinstance(value, Mapping):
            for name, weight in value.items():
                part[:, attribute.index(name)] = float(weight)
        elif isinstance(value, str):
            part[:, attribute.index(value)] = 1
        else:
            part[range(count), [attribute.index(name) for name in value]] = 1
        parts.append(part)
    return torch.cat(parts, 1) if parts else torch.empty(count, 0)


def check_requests(schema: Schema, count: int, requests: AttributeRequests) -> None:
    """Raises UsageError for an unknown attribute or value and for a list of another length than ``count``."""
    if count < 0:
        raise UsageError(f"the number of pictures must be 0 or more, not {count}")
    for name, value in requests.items():
        attribute = schema[name]
        if value is None:
            continue
        for each in [value] if isinstance(value, str) else value:
            attribute.index(each)
        if isinstance(value, Mapping) and not all(math.isfinite(weight) for weight in value.values()):
            raise UsageError(f"the weights of '{name}' must be finite numbers, not {dict(value)}")
        if not isinstance(value, str | Mapping) and len(value) != count:
            raise UsageError(f"{len(value)} values of '{name}' for {count} pictures: give one for each picture")


def _draw(attribute: Attribute, generator: torch.Generator) -> int:
    priors = torch.tensor(attribute.priors, dtype=torch.float64)
    return int(torch.multinomial(priors, 1, generator=generator))
