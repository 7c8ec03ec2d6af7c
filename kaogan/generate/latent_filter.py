"""Latent filter: a small network that foretells from a latent how bad its picture will be; its file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.rng import draw_latents, torch_generator
from kaogan.core.weights_file import (
    DIGEST,
    altered,
    check_digest,
    damaged,
    read_metadata,
    read_weights,
    tensor_digest,
    write_weights,
)

FILTER = "latent_filter.safetensors"
FORMAT = 1
LIMIT = 2**26  # bytes of the file
WHAT = "latent filter"  # in messages
EYES_KEEP, DISTANCE_KEEP = 0.5, 0.8  # the share that is drawn from, by what a filter was fitted to
ATTEMPTS = 1000  # latents that are looked at for one picture, at most
LEVELS = 101  # of the quantiles: 0 %, 1 %, ..., 100 %
PURPOSE = "sample/latent"


@dataclass(frozen=True)
class LatentFilter:
    """A perceptron z (Z,) -> how bad the picture of z will be, as foretold: by its eyes, or its distance to real ones.

    ``layers`` are a weight (out, in) and a bias (out,) each, float32 or float16 in float64, with SiLU between them.
    ``quantiles`` (101,) are those of what it foretells of fresh latents, in steps of 1 %: of them the share ``keep``
    lies at or under ``threshold(keep)``. ``report`` holds what its fitting measured. Rejecting latents by a network on
    them: Issenhuth et al. 2022 (arXiv:2110.09803), whose network learns importance weights instead.
    """

    layers: Sequence[tuple[Tensor, Tensor]]
    quantiles: Tensor
    report: Mapping[str, float] = field(default_factory=dict)

    @property
    def by_eyes(self) -> bool:
        """Whether it foretells the eye judge, and not the distance to real pictures."""
        return bool(self.report.get("eyes"))

    @property
    def usual_keep(self) -> float:
        """The share that a model with this filter draws from."""
        return EYES_KEEP if self.by_eyes else DISTANCE_KEEP

    def __call__(self, latents: Tensor) -> Tensor:
        """Latents (N, Z), untruncated -> float64 (N,)."""
        # In float64, so that a picture depends on the seed alone and not on how a machine adds: a browser agrees.
        x = latents.double()
        for number, (weight, bias) in enumerate(self.layers):
            x = F.linear(F.silu(x) if number else x, weight, bias)
        return x[:, 0]

    def threshold(self, keep: float) -> float:
        """The quantile ``keep`` of (0, 1], interpolated. Raises UsageError."""
        place = check_keep(keep) * (LEVELS - 1)
        low = min(math.floor(place), LEVELS - 2)
        below, above = self.quantiles[low : low + 2].tolist()
        return float(below + (above - below) * (place - low))

    def draw(self, keep: float, seed: int, number: int, distribution: str) -> Tensor:
        """The first latent (1, Z) of a picture's candidates that is among the best ``keep``; after 1,000 the best."""
        threshold, size = self.threshold(keep), self.layers[0][0].shape[1]
        best, least = None, math.inf
        for latent in candidates(size, distribution, seed, number):
            foretold = float(self(latent))  # alone: in a batch it could round otherwise
            if best is None or foretold < least:
                best, least = latent, foretold
            if foretold <= threshold:
                break
        assert best is not None
        return best


def candidates(size: int, distribution: str, seed: int, number: int) -> Iterator[Tensor]:
    """The latents (1, size) that may become picture ``number`` of ``seed``; the first is the one without a filter."""
    for attempt in range(ATTEMPTS):
        purpose = f"{PURPOSE}/{attempt}" if attempt else PURPOSE
        yield draw_latents(1, size, distribution, torch_generator(seed, purpose, number))


def check_keep(keep: object) -> float:
    """Raises UsageError unless it is a share above 0, at most 1."""
    if isinstance(keep, int | float) and not isinstance(keep, bool) and 0 < keep <= 1:
        return float(keep)
    raise UsageError(f"keep is the share of latents that are drawn from: above 0, at most 1 (all), not {keep}")


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """What ties a filter to a generator: a digest of its weights in float32."""
    return tensor_digest(
        {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
    )


def write_filter(path: Path, latent_filter: LatentFilter, weights: Mapping[str, Tensor]) -> None:
    """``weights`` are those of the generator, as they are stored beside it. Raises KaoganError."""
    tensors = {"quantiles": latent_filter.quantiles.double()}
    for number, (weight, bias) in enumerate(latent_filter.layers):
        tensors |= {f"{number}.weight": _stored(weight), f"{number}.bias": _stored(bias)}
    report = json.dumps(dict(latent_filter.report), sort_keys=True)
    write_weights(path, tensors, {"format": str(FORMAT), "model": digest_of(weights), "report": report})


def _stored(numbers: Tensor) -> Tensor:
    """As float16 where that loses nothing, else float32."""
    return numbers.half() if torch.equal(numbers.half().double(), numbers.double()) else numbers.float()


def read_filter(path: Path, weights: Mapping[str, Tensor], latent_size: int) -> LatentFilter:
    """The filter in a file, which must have been fitted on the generator of ``weights``. Raises KaoganError."""
    try:
        tensors, metadata = read_weights(path, WHAT, LIMIT)
        if DIGEST not in metadata:
            raise altered(path)
        check_digest(path, tensors, metadata)
    except KaoganError as error:
        raise _with_remedy(error) from error
    if metadata.get("format") != str(FORMAT):
        raise KaoganError(f"{path} was written by a newer kaogan; upgrade kaogan to read it")
    if metadata.get("model") != digest_of(weights):
        raise _with_remedy(KaoganError(f"{path} was fitted on other weights than those beside it"))
    try:
        layers = [
            (tensors[f"{n}.weight"].double(), tensors[f"{n}.bias"].double()) for n in range((len(tensors) - 1) // 2)
        ]
        report = {str(key): float(value) for key, value in json.loads(metadata["report"]).items()}
        found = LatentFilter(layers, tensors["quantiles"], report)
        foretold = found(torch.zeros(1, latent_size))
        whole = torch.isfinite(torch.cat([foretold, found.quantiles])).all() and len(found.quantiles) == LEVELS
        if not whole or (found.quantiles.diff() < 0).any():
            raise ValueError("its numbers are out of range")
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise _with_remedy(damaged(path, error, WHAT)) from error
    return found


def _with_remedy(error: KaoganError) -> KaoganError:
    return KaoganError(f"{error}; kaogan fit-filter fits one anew, kaogan sample --keep 1 draws without it")


def discard_other(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Remove a filter that was fitted on other weights than these. Raises OSError."""
    try:
        fits = path.is_file() and read_metadata(path, WHAT, LIMIT).get("model") == digest_of(weights)
    except KaoganError:
        fits = False
    if not fits:
        path.unlink(missing_ok=True)
