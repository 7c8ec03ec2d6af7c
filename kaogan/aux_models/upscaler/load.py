"""Reading an upscaler: by name, from a training's file or run, or from the files of GANime's SRGAN."""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from kaogan.aux_models.upscaler.model import FILE, FORMAT, MAX_BYTES, Upscaler
from kaogan.aux_models.upscaler.networks import build
from kaogan.aux_models.upscaler.srgan import read_upscaler
from kaogan.config.registries import UpscalerSettings
from kaogan.core.device import choose_device
from kaogan.core.errors import KaoganError, UsageError, nearest
from kaogan.core.paths import looking_at
from kaogan.core.weights_file import check_digest, read_weights


def names() -> list[str]:
    """The upscalers that come with kaogan."""
    folder = resources.files("kaogan.aux_models.upscaler") / "weights"
    return sorted(e.name.removesuffix(".safetensors") for e in folder.iterdir() if e.name.endswith(".safetensors"))


def is_upscaler(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is the name of an upscaler, its file, or the folder of its training. Raises KaoganError for a
    path that cannot be looked at."""
    place = Path(path)
    with looking_at(path):
        if str(path) in names() and not place.exists():
            return True
        return place.name == FILE or any((place / part).is_file() for part in (FILE, f"model/{FILE}"))


def load_upscaler(model: str | os.PathLike[str] = "kao-sr", device: str = "auto", precision: str = "auto") -> Upscaler:
    """An upscaler by name, or from a file that a training wrote, or a run's folder, or SRGAN's ``netG_*.pth``.

    Raises UsageError for an unknown name or path, KaoganError for a file that is damaged or no upscaler.
    """
    path = _find(os.fspath(model))
    upscaler = _read(path, choose_device(device), precision)
    upscaler.path = path
    return upscaler


def _read(path: Path, device: torch.device, precision: str) -> Upscaler:
    if path.suffix.lower() in (".pth", ".pt", ".tar"):
        return read_upscaler(path, device, precision)
    tensors, header = read_weights(path, "upscaler", MAX_BYTES)
    if "kaogan-upscaler" not in header:
        raise KaoganError(f"{path} is not an upscaler; give a file that a training of kao-sr or srgan wrote")
    check_digest(path, tensors, header)
    try:
        if int(header["kaogan-upscaler"]) > FORMAT:
            raise KaoganError(f"{path} is an upscaler of a newer kaogan; upgrade kaogan to use it")
        settings: Any = TypeAdapter(UpscalerSettings).validate_json(header["settings"])
        facts = {str(k): str(v) for k, v in json.loads(header["facts"]).items()}
        with torch.device("meta"):  # a network without memory: what does not fit is refused before any is taken
            shapes = {name: value.shape for name, value in build(settings).state_dict().items()}
        if shapes != {name: value.shape for name, value in tensors.items()}:
            raise KaoganError(f"{path} holds weights of another network than it says")
        network = build(settings)
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()})
    except (KeyError, ValueError, ValidationError, AttributeError) as error:
        raise KaoganError(f"{path} is not a whole upscaler ({type(error).__name__})") from None
    except RuntimeError:
        raise KaoganError(f"{path} holds weights of another network than it says") from None
    if not all(torch.isfinite(value).all() for value in tensors.values()):
        raise KaoganError(f"{path} holds numbers that are not finite; use an earlier one of the run")
    return Upscaler(network, settings, facts, device, precision)


def _find(model: str) -> Path:
    if model in names():
        return Path(str(resources.files("kaogan.aux_models.upscaler") / "weights" / f"{model}.safetensors"))
    with looking_at(model):
        path = Path(model).expanduser()
        for candidate in (path, path / FILE, path / "model" / FILE):
            if candidate.is_file():
                return candidate
    raise UsageError(f"no upscaler '{model}': neither a file nor one of kaogan's{nearest(model, names())}")
