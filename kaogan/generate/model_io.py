"""Reading model folders: which files there have to be, and checks of their contents before a network is built."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor, nn

from kaogan.aux_models.upscaler.load import is_upscaler
from kaogan.config.recipe import Latent
from kaogan.config.registries import UNKNOWN_FAMILY, GeneratorSettings
from kaogan.config.renamed import rename_settings
from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.core.loaded_plugins import missing_plugin
from kaogan.core.paths import looking_at
from kaogan.core.weights_file import (
    DIGEST,
    altered,
    check_digest,
    read_metadata,
    read_shapes,
    read_weights,
    refuse_lfs_pointer,
    tensor_digest,
)
from kaogan.generate.model_card import FORMAT

CONFIG, WEIGHTS, CARD, PREVIEW = "config.json", "model.safetensors", "README.md", "preview.png"
SINGLE = "kaogan"  # where the metadata of a safetensors file hold the configuration, if it is a whole model
MODELS = Path(str(resources.files("kaogan"))) / "models"
CONFIG_LIMIT = 2**20  # bytes


def model_names() -> list[str]:
    """The generators that come with kaogan."""
    return sorted(path.name for path in MODELS.iterdir() if (path / CONFIG).is_file()) if MODELS.is_dir() else []


def find_model(path: Path) -> Path:
    """The model folder that ``path`` means: a model's, a run's, or the name of one that comes with kaogan.

    Raises KaoganError that says what is missing.
    """
    with looking_at(path):
        return _find_model(path)


def _find_model(path: Path) -> Path:
    if not path.exists() and str(path) in model_names():
        return MODELS / path
    if is_upscaler(path):
        raise UsageError(f"{path} is an upscaler; kaogan upscale PICTURE --model {path}")
    if path.is_file():
        if path.name in (CONFIG, WEIGHTS):
            raise UsageError(f"{path} is a part of a model; name its folder {path.parent}")
        if path.suffix == ".safetensors":
            raise UsageError(f"{path} holds weights without kaogan's configuration; name a model folder")
        foreign = path.suffix.lower() in (".pth", ".pt", ".ckpt", ".pkl", ".h5", ".tar")
        hint = "weights of other programs have to be imported first" if foreign else "name a model folder or a run"
        raise UsageError(f"{path} is a file, not a model folder; {hint}")
    if not path.is_dir():
        hint = nearest(str(path), model_names()) if len(path.parts) == 1 else ""
        raise UsageError(f"no such folder {path}; name a model folder, a run or a model of 'kaogan models'{hint}")
    for folder in (path, path / "model"):
        missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
        if not missing:
            return folder
        if len(missing) == 1:
            raise KaoganError(f"{folder} is not a whole model: {missing[0]} is missing; copy or train it again")
    if any((path / name).exists() for name in ("recipe.yaml", "checkpoints", "stats.jsonl")):
        raise KaoganError(f"the run {path} has no model yet; train it further with the same command")
    raise UsageError(f"{path} is not a model folder: {CONFIG} and {WEIGHTS} are missing")


class _Attribute(BaseModel):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    values: Annotated[list[str], Field(min_length=1, max_length=65536)]
    priors: list[Annotated[float, Field(ge=0, le=1)]]

    @model_validator(mode="after")
    def _priors_fit(self) -> _Attribute:
        if len(self.priors) != len(self.values) or abs(sum(self.priors) - 1) > 1e-3:
            raise ValueError("priors must be one number for each value, 1 in all")
        return self


class _Latent(Latent, strict=True):
    distribution: Literal["normal", "uniform"]  # a guess would draw other faces


class _Config(BaseModel):
    """What loading, sampling and cards rely on; everything else in the file is information and free."""

    # Strict: the file's own values are used, not what they could be turned into.
    model_config = ConfigDict(extra="allow")
    generator: GeneratorSettings
    latent: _Latent
    image_size: Annotated[int, Field(ge=4, le=4096, strict=True)]
    channels: Annotated[int, Field(ge=1, le=3, strict=True)]
    attributes: list[_Attribute] = []
    settings: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    start_from: dict[str, Any] | None = None
    clock: Annotated[int, Field(strict=True)] = 0
    minutes: Annotated[float, Field(strict=True)] = 0.0


@dataclass(frozen=True)
class Signature:
    """What ties a configuration to its weights: the digest that the file has, if any, and one of its other content."""

    written: str | None
    config: str

    def of(self, weights: Mapping[str, Tensor]) -> str:
        return hashlib.sha256(f"{tensor_digest(weights)} {self.config}".encode()).hexdigest()


def signature_of(config: Mapping[str, Any]) -> Signature:
    plain = {key: value for key, value in config.items() if key != DIGEST}
    text = json.dumps(plain, sort_keys=True).encode()
    return Signature(config.get(DIGEST), hashlib.sha256(text).hexdigest())


def read_config(path: Path) -> tuple[dict[str, Any], Signature]:
    """The checked configuration without its signature, and the signature. Raises KaoganError."""
    try:
        refuse_lfs_pointer(path)
        if path.stat().st_size > CONFIG_LIMIT:
            raise KaoganError(f"{path} is larger than {CONFIG_LIMIT // 2**20} MB: not the configuration of a model")
        return parse_config(path.read_text(encoding="utf-8"), path)
    except OSError as error:
        raise explain(error, path) from error
    except UnicodeDecodeError as error:
        raise KaoganError(f"{path} is not JSON ({error}); copy or train the model again") from error


def parse_config(text: str, path: Path) -> tuple[dict[str, Any], Signature]:
    """The same from its text, which was found in ``path``."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise KaoganError(f"{path} is not JSON ({error}); copy or train the model again") from error
    version = config.get("format") if isinstance(config, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise KaoganError(f"{path} is not the configuration of a kaogan model: it has no 'format'")
    if version > FORMAT:
        written = str(config.get("kaogan", "unknown version"))[:40]
        raise KaoganError(
            f"{path} was written by a newer kaogan ({written}, format {version}); upgrade kaogan to read it"
        )
    signature = signature_of(config)  # of the words in the file, which a newer kaogan may call otherwise
    config = rename_settings(config, str(path))
    config.pop(DIGEST, None)
    try:
        _Config.model_validate(config)
    except ValidationError as error:
        problem = error.errors()[0]
        if problem["type"] == UNKNOWN_FAMILY:
            part = f"{problem['loc'][0]} {problem['ctx']['tag']}"
            if hint := missing_plugin(config.get("plugins"), part):
                raise UsageError(f"{path}: {hint}") from error
        key = ".".join(str(part) for part in problem["loc"]) or "config"
        raise KaoganError(f"{path}: '{key}': {problem['msg']}; copy or train the model again") from error
    config.setdefault("attributes", [])
    return config, signature


def single_config(path: Path) -> str | None:
    """The configuration inside of a file that is a whole model, or None."""
    with looking_at(path):
        if path.suffix != ".safetensors" or not path.is_file():
            return None
    return read_metadata(path).get(SINGLE)


def sign_config(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """``config`` with a digest over itself and the ``weights`` that it belongs to."""
    return {**config, DIGEST: signature_of(config).of(weights)}


def stored_weights(generator: nn.Module, half: bool) -> dict[str, Tensor]:
    """What a file keeps of a generator; ``half`` as float16."""
    weights = {name: value.detach().cpu().contiguous() for name, value in generator.state_dict().items()}
    return {name: _halved(value) for name, value in weights.items()} if half else weights


def _halved(weight: Tensor) -> Tensor:
    """float16, but for what it cannot hold: counters, and numbers beyond its range."""
    fits = weight.dtype == torch.float32 and bool((weight.abs() <= torch.finfo(torch.float16).max).all())
    return weight.half() if fits else weight


def read_model_weights(path: Path, expected: Mapping[str, Tensor], signature: Signature) -> dict[str, Tensor]:
    """The tensors of a safetensors file: exactly those of ``expected``, all finite, and those that the configuration
    was signed with. Raises KaoganError."""
    _compare(path, read_shapes(path), {name: tuple(value.shape) for name, value in expected.items()})
    tensors, metadata = read_weights(path)
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise KaoganError(f"{path}: '{name}' holds numbers that are not finite; use an earlier model of the run")
    unsigned = signature.written is None
    if DIGEST not in metadata and not unsigned and set(metadata) - {"format"}:
        raise altered(path)  # a digest is missing that was written with these metadata
    if DIGEST in metadata or unsigned:
        check_digest(path, tensors, metadata)
    if not (unsigned and DIGEST not in metadata) and signature.written != signature.of(tensors):
        raise KaoganError(
            f"{path.parent / CONFIG} belongs to other weights or was altered: its checksum does not match; copy the "
            "model again, or go on with the training that wrote it"
        )
    return tensors


def _compare(path: Path, found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> None:
    problems = [f"'{name}' is missing" for name in expected if name not in found]
    problems += [f"'{name}' is not of this network{nearest(name, expected)}" for name in found if name not in expected]
    problems += [
        f"'{name}' has the shape {found[name]} instead of {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise KaoganError(f"{path} does not fit its {CONFIG}: {'; '.join(problems[:3])}{more}; copy the model again")
