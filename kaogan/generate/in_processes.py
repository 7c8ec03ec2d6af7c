"""Sampling and upscaling in other processes, which load the model themselves and keep it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaogan.core.errors import KaoganError
from kaogan.core.images import Pictures
from kaogan.core.worker_pool import keep, own_device
from kaogan.generate.attribute_requests import AttributeRequests
from kaogan.generate.model import Model, load

if TYPE_CHECKING:
    from kaogan.aux_models.upscaler.model import Upscaler


@dataclass(frozen=True)
class ModelFile:
    """Where a model lies, and what it is."""

    path: Path
    device: str
    config: Mapping[str, Any]
    filtered: bool

    @classmethod
    def of(cls, model: Model) -> ModelFile:
        if model.path is None:
            raise KaoganError("a model that is in memory only cannot be drawn from by several processes: save it first")
        return cls(model.path, str(model.device), model.config, model.latent_filter is not None)

    def load(self) -> Model:
        """Raises KaoganError when another one lies there by now, as a training may have left it."""
        model = keep(
            f"model {self.path} {self.filtered}",
            lambda: load(self.path, own_device(self.device), filtered=self.filtered),
        )
        if model.config != self.config:
            raise KaoganError(f"the model in {self.path} was changed meanwhile; try again")
        return model


@dataclass(frozen=True)
class UpscalerFile:
    """Where an upscaler lies."""

    path: Path
    device: str
    precision: str

    @classmethod
    def of(cls, upscaler: Upscaler) -> UpscalerFile:
        if upscaler.path is None:
            raise KaoganError("an upscaler that is in memory only cannot be used by several processes: save it first")
        return cls(upscaler.path, str(upscaler.device), upscaler.precision)

    def load(self) -> Upscaler:
        from kaogan.aux_models.upscaler.load import load_upscaler

        return keep(f"upscaler {self.path}", lambda: load_upscaler(self.path, own_device(self.device), self.precision))


@dataclass(frozen=True)
class SamplePart:
    """``Model.sample_part``."""

    model: ModelFile
    count: int
    seed: int
    truncation: float
    requests: AttributeRequests
    keep: float

    def __call__(self, part: range) -> Pictures:
        return self.model.load().sample_part(part, self.count, self.seed, self.truncation, self.requests, self.keep)
