"""An upscaler as an ONNX file, one for each factor, held against PyTorch."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from kaogan.aux_models.upscaler import Upscaler, load_upscaler
from kaogan.aux_models.upscaler.model import keep_colours_
from kaogan.core.atomic_io import atomic
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.rng import torch_generator
from kaogan.share.export.onnx_file import BATCHES, HALF_TOLERANCE, TOLERANCE, add_metadata, halve, open_session, trace

INPUT, OUTPUT = "images", "enlarged"
LARGEST = 1024  # px of an input's side: the graph holds the whole picture's maps at once


def export_upscaler(
    upscaler: str | os.PathLike[str] | Upscaler, path: str | os.PathLike[str], scale: int = 4, size: int = 64,
    half: bool = False,
) -> Path:  # fmt: skip
    """Write ``upscaler`` for one of its scales and for square pictures of ``size`` px: input ``images`` (N, 3, S, S) in
    [-1, 1], output ``enlarged`` (N, 3, scale·S, scale·S) in [-1, 1], as ``Upscaler.upscale`` makes them. All float32.

    Weights that are float16 anyway, as those that come with kaogan, are stored so; ``half`` makes others so. Raises
    UsageError for a scale that it has not, and KaoganError, with nothing written, when onnxruntime's images are not
    PyTorch's to ``TOLERANCE`` (``HALF_TOLERANCE``) or a package is missing.
    """
    upscaler = upscaler if isinstance(upscaler, Upscaler) else load_upscaler(upscaler, "cpu", "fp32")
    content, _ = upscaler_bytes(upscaler, scale, size, half)
    path = Path(path)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return path


def upscaler_bytes(
    upscaler: Upscaler, scale: int, size: int, half: bool = False, channels: int = 3
) -> tuple[bytes, float]:
    """The content of the file, and the largest difference from PyTorch that the check has found. With one of
    ``channels`` it takes and makes grey pictures."""
    if scale not in upscaler.scales:
        raise UsageError(f"this upscaler has no scale {scale}; choose from {', '.join(map(str, upscaler.scales))}")
    if not 8 <= size <= LARGEST:
        raise UsageError(f"an upscaler is exported for pictures of 8 to {LARGEST} px, not {size}")
    twin = _Enlarger(copy.deepcopy(upscaler.network).cpu().float(), scale).eval()
    images = torch.rand(2, channels, size, size, generator=torch_generator(0, "export/upscaler")) * 2 - 1
    with torch.no_grad():
        twin(images)  # fills the cache of the interpolation's matrices, which are constants of the graph then
    proto = trace(twin, (images,), [INPUT], OUTPUT, ({0: torch.export.Dim("N")},))
    halve(proto, exact=not half)
    error, most = _difference(twin, images, proto.SerializeToString()), HALF_TOLERANCE if half else TOLERANCE
    if not error < most:
        raise KaoganError(f"the ONNX graph differs from PyTorch by {error:.1e}, more than {most:.1g}: nothing written")
    metadata = {
        "kaogan.upscaler": upscaler.settings.model_dump_json(),
        "kaogan.facts": json.dumps(upscaler.facts, ensure_ascii=False),
        "kaogan.scale": str(scale),
    }
    return add_metadata(proto, metadata), error


class _Enlarger(nn.Module):
    """The network and what ``Upscaler`` does behind it; grey images become coloured, and grey again."""

    def __init__(self, network: nn.Module, scale: int):
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, images: Tensor) -> Tensor:
        grey = images.shape[1] == 1
        colours = images.expand(-1, 3, -1, -1) if grey else images
        made = keep_colours_(self.network(colours, self.scale).clamp(-1, 1), colours, self.scale).clamp(-1, 1)
        return made.mean(1, keepdim=True) if grey else made


def _difference(twin: nn.Module, images: Tensor, content: bytes) -> float:
    """The largest difference between onnxruntime's images and PyTorch's, in batches of other sizes than traced."""
    session = open_session(content)
    worst = 0.0
    for count in BATCHES:
        some = images[:1].expand(count, -1, -1, -1) * torch.linspace(1, 0.3, count)[:, None, None, None]
        with torch.no_grad():
            wanted = twin(some).numpy()
        (found,) = session.run(None, {INPUT: some.numpy()})
        worst = max(worst, float(np.abs(found - wanted).max())) if found.shape == wanted.shape else float("inf")
    return worst
