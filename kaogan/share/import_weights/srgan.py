"""GANime's SRGAN: its generator enlarges, so it becomes an upscaler's file instead of a model folder."""

from __future__ import annotations

from pathlib import Path

import torch

from kaogan.aux_models.upscaler.model import FILE, Upscaler, save_upscaler
from kaogan.aux_models.upscaler.networks import SRGANGenerator, SRGANSettings
from kaogan.core.errors import KaoganError, UsageError
from kaogan.share.import_weights.layout import Content
from kaogan.share.import_weights.weight_files import read_weights

NAME = "srgan"


def recognises(content: Content) -> bool:
    return "residual1.net.0.weight" in content.tensors


def read_upscaler(file: Path, device: str | torch.device = "cpu", precision: str = "auto") -> Upscaler:
    """The network in ``netG_epoch_*.pth``. Nothing in the file is executed. Raises UsageError, KaoganError."""
    content = read_weights(Path(file))
    if not recognises(content):
        raise KaoganError(f"{file} does not hold the generator of GANime's SRGAN, the upscaler that can be imported")
    return upscaler_of(content, device, precision)


def upscaler_of(content: Content, device: str | torch.device = "cpu", precision: str = "auto") -> Upscaler:
    """Width, blocks and scale are told by the tensors. Raises KaoganError when they are of no such network."""
    tensors = content.tensors
    blocks = sum(name.startswith("residual") and name.endswith(".net.0.weight") for name in tensors)
    doublings = sum(name.startswith("upsample.") and name.endswith(".net.0.weight") for name in tensors)
    first = tensors.get("conv1.0.weight")
    if first is None or first.ndim != 4 or doublings not in (1, 2, 3):
        raise KaoganError(f"{content.path} is not a whole SRGAN")
    settings = SRGANSettings.model_validate({"width": int(first.shape[0]), "blocks": blocks, "scales": (2**doublings,)})
    with torch.device("meta"):
        expected = SRGANGenerator(settings).state_dict()
    wrong = sorted(tensors.keys() ^ expected.keys()) or [k for k in tensors if tensors[k].shape != expected[k].shape]
    if wrong:
        raise KaoganError(f"{content.path} is not the SRGAN of GANime: '{wrong[0]}' does not fit")
    with torch.random.fork_rng(devices=[]):
        network = SRGANGenerator(settings)
    network.load_state_dict(tensors)
    return Upscaler(network, settings, {"recipe": NAME, "imported": content.path.name}, device, precision)


def import_upscaler(file: Path, out: Path | None = None) -> tuple[Path, Upscaler]:
    """Write the network as ``OUT/upscaler.safetensors``, by default in a folder of the file's stem."""
    upscaler = read_upscaler(file)
    out = Path(Path(file).stem if out is None else out).expanduser()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} exists; remove it or name another place with --out")
    path = out / FILE
    save_upscaler(path, upscaler.network, upscaler.settings, upscaler.facts, half=False)
    return path, upscaler
