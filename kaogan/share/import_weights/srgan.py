"""Import of GANime's SRGAN: its generator enlarges, so it becomes an upscaler's file instead of a model folder."""

from __future__ import annotations

from pathlib import Path

from kaogan.aux_models.upscaler.model import FILE, Upscaler, save_upscaler
from kaogan.aux_models.upscaler.srgan import NAME, read_upscaler, recognises
from kaogan.core.errors import UsageError

__all__ = ["NAME", "import_upscaler", "recognises"]


def import_upscaler(file: Path, out: Path | None = None) -> tuple[Path, Upscaler]:
    """Write the network as ``OUT/upscaler.safetensors``, by default in a folder of the file's stem."""
    upscaler = read_upscaler(file)
    out = Path(Path(file).stem if out is None else out).expanduser()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} exists; remove it or name another place with --out")
    path = out / FILE
    save_upscaler(path, upscaler.network, upscaler.settings, upscaler.facts, half=False)
    return path, upscaler
