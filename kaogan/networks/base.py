"""What every family shares: the judgement, the settings' base, image sizes and the conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import pydantic
import torch
from torch import Tensor, nn

from kaogan.core.errors import UsageError

LARGEST = 1024

Init = Literal["dcgan", "pytorch", "glorot"]
Norm = Literal["batch", "instance", "layer", "none"]


class Judgement(NamedTuple):
    """What a discriminator says of a batch: unbounded ``scores`` (N,), high for real, or (N, H) of several heads, and,
    where it has attribute heads, unnormalised ``logits`` (N, A) in the schema's order. Float32 even under autocast."""

    scores: Tensor
    logits: Tensor | None = None


class Settings(pydantic.BaseModel):
    """The base of every family's settings: immutable, and an unknown key is an error."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


def doublings(
    family: str, image_size: int, starts: Sequence[int] = (4,), fewest: int = 1, largest: int = LARGEST
) -> tuple[int, int]:
    """``(start, n)`` with image_size = start·2ⁿ, n >= fewest. Raises UsageError that names the sizes there are."""
    sizes = {start << n: (start, n) for start in starts for n in range(fewest, 11) if start << n <= largest}
    if image_size in sizes:
        return sizes[image_size]
    raise UsageError(
        f"the '{family}' networks cannot make {image_size} px pictures: "
        f"set the image size to one of {', '.join(map(str, sorted(sizes)))}, or choose another family"
    )


def condition(latents: Tensor, attributes: Tensor | None, attribute_size: int) -> Tensor:
    """The generator's input: latents (N, Z) with the code (N, A) behind them -> (N, Z + A)."""
    if not attribute_size:
        return latents
    if attributes is None:
        raise ValueError(f"this generator is conditional: it needs codes of shape (N, {attribute_size})")
    return torch.cat([latents, attributes.to(latents.dtype)], 1)


def judge(scores: Tensor, logits: Tensor | None) -> Judgement:
    """Scores of any shape with N elements, or (N, H) of several heads, and logits (N, A) -> a Judgement that losses can
    trust to 24 bits."""
    scores = scores if scores.ndim == 2 and scores.shape[1] > 1 else scores.flatten()
    return Judgement(_widen(scores), None if logits is None else _widen(logits))


def picture(values: Tensor) -> Tensor:
    """Unbounded (N, C, H, W) -> images in [-1, 1], float32 even under a bf16 autocast, which would leave 7 bits."""
    return torch.tanh(_widen(values))


def _widen(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


class LinearHeads(nn.Module):
    """The score and, where there are attributes, their logits, each one Linear of the flattened last map."""

    def __init__(self, features: int, attribute_sizes: Sequence[int]):
        super().__init__()
        self.score = nn.Linear(features, 1)
        self.attributes = nn.Linear(features, sum(attribute_sizes)) if attribute_sizes else None

    def forward(self, x: Tensor) -> Judgement:
        x = x.flatten(1)
        return judge(self.score(x), None if self.attributes is None else self.attributes(x))
