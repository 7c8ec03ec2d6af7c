"""Import of GANime's SRGAN: its generator enlarges, so it becomes an upscaler's file instead of a model folder."""

from __future__ import annotations

from pathlib import Path

from kaogan.aux_models.upscaler.model import FILE, Upscaler, save_upscaler
from kaogan.aux_models.upscaler.srgan import NAME, read_upscaler, recognises
from kaogan.core.staging import staged

__all__ = ["NAME", "import_upscaler", "recognises"]


def import_upscaler(file: Path, out: Path | None = None) -> tuple[Path, Upscaler]:
    """Write the network as ``OUT/upscaler.safetensors``, by default in a folder of the file's stem."""
    upscaler = read_upscaler(file)
    out = Path(Path(file).stem if out is None else out).expanduser()
    with staged(out) as stage:
        save_upscaler(stage / FILE, upscaler.network, upscaler.settings, upscaler.facts, half=False)
    return out / FILE, upscaler
