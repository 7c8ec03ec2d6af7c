"""The upscaler in the files of GANime's SRGAN (``netG_epoch_*.pth``)."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import ValidationError

from kaogan.aux_models.upscaler.model import Upscaler
from kaogan.aux_models.upscaler.networks import SRGANGenerator, SRGANSettings
from kaogan.core.errors import KaoganError
from kaogan.core.foreign_weights import WeightFile, read_weight_file

NAME = "srgan"


def recognises(content: WeightFile) -> bool:
    return "residual1.net.0.weight" in content.tensors


def read_upscaler(file: Path, device: str | torch.device = "cpu", precision: str = "auto") -> Upscaler:
    """The network in ``netG_epoch_*.pth``. Nothing in the file is executed. Raises UsageError, KaoganError."""
    content = read_weight_file(Path(file))
    if not recognises(content):
        raise KaoganError(f"{file} does not hold the generator of GANime's SRGAN, the upscaler that can be imported")
    return upscaler_of(content, device, precision)


def upscaler_of(content: WeightFile, device: str | torch.device = "cpu", precision: str = "auto") -> Upscaler:
    """Width, blocks and scale follow from the tensors. Raises KaoganError when they are of no such network."""
    tensors = content.tensors
    blocks = sum(name.startswith("residual") and name.endswith(".net.0.weight") for name in tensors)
    doublings = sum(name.startswith("upsample.") and name.endswith(".net.0.weight") for name in tensors)
    first = tensors.get("conv1.0.weight")
    if first is None or first.ndim != 4 or doublings not in (1, 2, 3):
        raise KaoganError(f"{content.path} is not a whole SRGAN")
    try:
        settings = SRGANSettings.model_validate({"width": first.shape[0], "blocks": blocks, "scales": (2**doublings,)})
    except ValidationError:  # sizes beyond any useful network's
        raise KaoganError(f"{content.path} is not the SRGAN of GANime") from None
    with torch.device("meta"):
        expected = SRGANGenerator(settings).state_dict()
    wrong = sorted(tensors.keys() ^ expected.keys()) or [k for k in tensors if tensors[k].shape != expected[k].shape]
    if wrong:
        raise KaoganError(f"{content.path} is not the SRGAN of GANime: '{wrong[0]}' does not fit")
    with torch.random.fork_rng(devices=[]):
        network = SRGANGenerator(settings)
    network.load_state_dict(tensors)
    return Upscaler(network, settings, {"recipe": NAME, "imported": content.path.name}, device, precision)
