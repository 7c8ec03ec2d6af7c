"""An upscaler: one file of weights, and pictures enlarged with it, in tiles where they are large."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kaogan.aux_models.upscaler.networks import (
    KaoSRSettings,
    SRGANSettings,
    add_bicubic_,
)
from kaogan.aux_models.upscaler.resampling import blurred
from kaogan.core.device import choose_precision, exact
from kaogan.core.errors import UsageError
from kaogan.core.images import Pictures, to_float, to_uint8
from kaogan.core.picture_files import PictureArray
from kaogan.core.progress import Progress
from kaogan.core.weights_file import write_weights

FORMAT = 1
FILE = "upscaler.safetensors"  # in a folder
MAX_BYTES = 256 * 2**20
SMOOTH, COLOUR_REACH = 2.0, 8  # px of the input: over how far colours are kept, and how far that is felt
TILE = 256  # px of the input, a side
CHUNK_PIXELS = 4 * 64 * 64  # of the input, that are computed at a time: their maps stay in the cache


class Upscaler:
    """A network with its settings; ``precision`` as in a recipe: bf16 where the hardware is fast at it."""

    def __init__(
        self,
        network: nn.Module,
        settings: KaoSRSettings | SRGANSettings,
        facts: Mapping[str, str] | None = None,
        device: str | torch.device = "cpu",
        precision: str = "auto",
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device, torch.float32, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.settings, self.facts = settings, dict(facts or {})
        self.precision = upscaler_precision(precision, self.device)
        self.path: Path | None = None
        """The file that it came from, if any."""

    @property
    def scales(self) -> tuple[int, ...]:
        return tuple(self.settings.scales)

    def check_scale(self, scale: int) -> None:
        """Raise UsageError for a scale that the network has not."""
        if scale not in self.scales:
            known = ", ".join(map(str, self.scales))
            raise UsageError(f"this upscaler has no scale {scale}; choose from {known}")

    def upscale(
        self, pictures: Pictures, scale: int = 4, *, tile: int = TILE, progress: Progress | None = None
    ) -> PictureArray:
        """uint8 (N, H, W, C) -> uint8 (N, scale·H, scale·W, C); C is 1 (grey), 3 (RGB) or 4 (RGB and alpha).

        Pictures beyond ``tile`` px a side are computed in tiles that overlap by as far as the network sees, so that the
        result is that of the whole picture. Raises UsageError for a scale that the network has not, and other arrays.
        """
        self.check_scale(scale)
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] not in (1, 3, 4):
            raise UsageError(
                f"upscaling takes pictures uint8 (N, H, W, 1, 3 or 4), not {pictures.dtype} {tuple(pictures.shape)}"
            )
        if 0 in pictures.shape[1:3]:
            raise UsageError("upscaling takes pictures of at least 1 × 1 px")
        count, high, wide, channels = pictures.shape
        result = np.empty((count, high * scale, wide * scale, channels), np.uint8)
        some = max(1, CHUNK_PIXELS // (min(high, tile) * min(wide, tile)))
        for start in range(0, count, some):
            part = pictures[start : start + some]
            result[start : start + some] = self._enlarged(part, scale, tile)
            if progress:
                progress(min(count, start + some), count, "enlarging")
        return result.view(PictureArray)

    def _enlarged(self, pictures: Pictures, scale: int, tile: int) -> Pictures:
        channels = pictures.shape[3]
        if channels == 1:
            return np.rint(self._colours(pictures.repeat(3, 3), scale, tile).mean(3, keepdims=True)).astype(np.uint8)
        if channels == 3:
            return self._colours(pictures, scale, tile)
        # What is transparent has no colour of its own: whatever lies there must not bleed into the edge.
        colours = self._colours(_filled(pictures), scale, tile)
        alpha = self._colours(pictures[..., 3:].repeat(3, 3), scale, tile).mean(3, keepdims=True)
        alpha = np.rint(alpha).astype(np.uint8)
        alpha[_far_from_visible(pictures[..., 3]).repeat(scale, 1).repeat(scale, 2)] = 0  # a network leaves 1 of 255
        return np.concatenate([colours, alpha], 3)

    def _colours(self, pictures: Pictures, scale: int, tile: int) -> Pictures:
        """(N, H, W, 3) -> (N, scale·H, scale·W, 3)."""
        count, high, wide, _ = pictures.shape
        if high <= tile and wide <= tile:
            return to_uint8(self._run(to_float(pictures), scale))
        multiple = self.network.multiple
        reach, step = int(self.network.reach) + COLOUR_REACH, max(multiple, tile // multiple * multiple)
        result = np.empty((count, high * scale, wide * scale, 3), np.uint8)
        for top in range(0, high, step):
            for left in range(0, wide, step):
                bottom, right = min(high, top + step), min(wide, left + step)
                first, start = max(0, top - reach), max(0, left - reach)
                part = pictures[:, first : min(high, bottom + reach), start : min(wide, right + reach)]
                made = self._run(to_float(part), scale)
                made = made[
                    ...,
                    (top - first) * scale : (bottom - first) * scale,
                    (left - start) * scale : (right - start) * scale,
                ]
                result[:, top * scale : bottom * scale, left * scale : right * scale] = to_uint8(made)
        return result

    @torch.inference_mode()
    def _run(self, images: Tensor, scale: int) -> Tensor:
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        images = images.to(self.device)
        with exact(self.device):
            with autocast:
                made = self.network(images, scale).float().contiguous()
            return keep_colours_(made.clamp_(-1, 1), images, scale).cpu()


def upscaler_precision(name: str, device: torch.device) -> str:
    """``choose_precision`` for upscalers, which know bf16 and fp32: cards that are fast at fp16 alone take fp32."""
    return "bf16" if choose_precision(name, device) == "bf16" else "fp32"


def keep_colours_(made: Tensor, images: Tensor, scale: int) -> Tensor:
    """Shift ``made`` (N, C, scale·H, scale·W), smoothly, to where its local means are those of ``images`` (N, C, H, W).

    A network takes odd colours, such as those of other networks' faces, a little towards what it was trained on.
    """
    drift = images - F.avg_pool2d(made, scale)
    return add_bicubic_(made, blurred(drift, SMOOTH), scale)


def _far_from_visible(alpha: np.ndarray) -> np.ndarray:
    """Where alpha (N, H, W) is 0 with all its neighbours, bool (N, H, W)."""
    from scipy.ndimage import maximum_filter

    return np.asarray(maximum_filter(alpha, (1, 3, 3)) == 0)


def _filled(pictures: Pictures) -> Pictures:
    """(N, H, W, 4) -> (N, H, W, 3): wholly transparent pixels take the colours of the nearest others."""
    from scipy.ndimage import distance_transform_edt

    colours = pictures[..., :3].copy()
    for picture, alpha in zip(colours, pictures[..., 3], strict=True):
        if (alpha == 0).any() and alpha.any():
            rows, columns = distance_transform_edt(alpha == 0, return_distances=False, return_indices=True)
            picture[:] = picture[rows, columns]
    return colours


def save_upscaler(
    path: str | os.PathLike[str],
    network: nn.Module,
    settings: KaoSRSettings | SRGANSettings,
    facts: Mapping[str, str],
    *,
    half: bool = True,
) -> None:
    """One safetensors file; with ``half`` the weights as float16, where it can hold them."""
    tensors = {name: _stored(value.detach().cpu(), half) for name, value in network.state_dict().items()}
    header = {
        "kaogan-upscaler": str(FORMAT),
        "settings": settings.model_dump_json(),
        "facts": json.dumps(dict(facts)),
    }
    write_weights(Path(path), tensors, header)


def _stored(value: Tensor, half: bool) -> Tensor:
    small = value.half()
    fits = half and value.is_floating_point() and bool(torch.isfinite(small).all())
    return (small if fits else value).contiguous()
