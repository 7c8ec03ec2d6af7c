"""Correspondence of tensor names between another program and a kaogan network.

It is given module by module, in that program's order; the names inside of a module are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.core.foreign_weights import SPECTRAL_NORM_SPELLINGS, WeightFile
from kaogan.core.schema import Attribute, Schema

ModuleMap = list[tuple[str, str]]  # (their module, our module)
COUNTER = "num_batches_tracked"  # absent in files from before PyTorch 0.4.1


@dataclass(frozen=True)
class Hints:
    """What no tensor tells."""

    classes: int | None = None  # length of the attribute code that follows the latent


@dataclass(frozen=True)
class GeneratorSpec:
    """Which network a file's tensors belong to."""

    name: str
    summary: str
    source: str
    generator: dict[str, Any]
    latent_size: int
    module_map: Callable[[Any, nn.Module], ModuleMap]
    distribution: Literal["normal", "uniform"] = "normal"
    image_size: int = 64
    channels: int = 3
    attributes: Schema = field(default_factory=Schema)
    network: nn.Module | None = None  # already filled


def uniform_schema(**values: Sequence[str]) -> Schema:
    """A schema in which every value is as likely as any other."""
    return Schema(tuple(Attribute(name, tuple(v), (1 / len(v),) * len(v)) for name, v in values.items()))


def tensor_map(network: nn.Module, modules: ModuleMap) -> dict[str, str]:
    """Their name -> our name of every tensor, in their order. ``modules`` cover the whole network."""
    ours = list(network.state_dict())
    found = {}
    for theirs, module in modules:
        for name in ours:
            if name.startswith(module + "."):
                inner = name.removeprefix(module + ".")
                found[f"{theirs}.{SPECTRAL_NORM_SPELLINGS.get(inner, inner)}"] = name
    missed = set(ours) - set(found.values())
    assert not missed, f"no module of the other program for {sorted(missed)[:3]}"
    return found


def matched_state_dict(content: WeightFile, network: nn.Module, modules: ModuleMap) -> dict[str, Tensor]:
    """The state dict of ``network`` (which may be on the meta device) out of the file's tensors, float32.

    Raises KaoganError when a tensor is missing, too many, of another shape or kind, or not finite.
    """
    expected = network.state_dict()
    names = tensor_map(network, modules)
    theirs = content.tensors
    problems = []
    for name, our_name in names.items():
        if name not in theirs:
            if not name.endswith(COUNTER):
                problems.append(f"'{name}' is missing")
        elif theirs[name].shape != expected[our_name].shape:
            found, wanted = tuple(theirs[name].shape), tuple(expected[our_name].shape)
            problems.append(f"'{name}' has the shape {found} instead of {wanted}")
    problems += [f"'{name}' is not of this network{_near(name, names)}" for name in theirs if name not in names]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise KaoganError(
            f"{content.path}: {'; '.join(problems[:3])}{more}; the file is not whole, or of another program"
        )
    return {
        our_name: _checked(content.path, name, theirs[name], expected[our_name])
        if name in theirs
        else torch.zeros((), dtype=torch.int64)
        for name, our_name in names.items()
    }


def require(settings: Any, program: str, **wanted: Any) -> None:
    """Raise UsageError, naming the first difference, unless ``settings`` have these values."""
    for name, value in wanted.items():
        found = getattr(settings, name, None)
        if found != value:
            raise UsageError(
                f"{program} has no such network: '{name}' is {found} in this model and {value} there, so its pictures "
                "would differ"
            )


def require_size(network: nn.Module, program: str, parts: int, side: int = 64) -> None:
    """Raise UsageError unless the network's body has as many parts as the program's, which has one size only."""
    if len(list(network.get_submodule("body").children())) != parts:
        raise UsageError(f"{program} makes pictures of {side} px only, this model makes others")


def _near(name: str, known: Mapping[str, str]) -> str:
    hint = nearest(name, known)
    return hint if "did you mean" in hint else ""


def _checked(path: Path, name: str, tensor: Tensor, expected: Tensor) -> Tensor:
    if tensor.dtype.is_floating_point != expected.dtype.is_floating_point or tensor.layout != torch.strided:
        raise KaoganError(f"{path}: '{name}' is a tensor of {tensor.dtype}, which no weight is")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise KaoganError(f"{path}: '{name}' claims more numbers than the file holds; it is damaged or hostile")
    tensor = tensor.detach().to(expected.dtype).contiguous()
    if not torch.isfinite(tensor).all():
        raise KaoganError(f"{path}: '{name}' holds numbers that are not finite; use an earlier file of that run")
    return tensor
