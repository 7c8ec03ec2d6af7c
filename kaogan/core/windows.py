"""Windows cut out of batches of pictures, each at its own place, differentiable as often as one likes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Corner = tuple[int, int]
"""Row and column of a window's first pixel in its picture; negative ones lie outside."""


def cut_windows(images: Tensor, corners: Sequence[Corner], size: tuple[int, int]) -> Tensor:
    """Images (N, C, H, W) and a corner of each -> (N, C, *size); what lies outside a picture is 0.

    The derivative of slices would fill a whole picture for each of them.
    """
    out: Tensor = _Cut.apply(images, tuple(corners), size)
    return out


class _Cut(torch.autograd.Function):
    """Its derivative pastes: it cuts pictures of the old size out of windows, from minus the corners on."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, corners: Sequence[Corner], size: tuple[int, int]) -> Tensor:
        ctx.back = tuple((-top, -left) for top, left in corners), (images.shape[2], images.shape[3])
        last = images.is_contiguous(memory_format=torch.channels_last)
        format = torch.channels_last if last else torch.contiguous_format
        shape = *images.shape[:2], *size
        out = torch.empty(shape, dtype=images.dtype, device=images.device, memory_format=format).zero_()
        for window, image, corner in zip(out.unbind(), images.unbind(), corners, strict=True):
            (here_y, there_y), (here_x, there_x) = (
                _overlap(*each) for each in zip(corner, size, image.shape[1:], strict=True)
            )
            window[:, here_y, here_x] = image[:, there_y, there_x]
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _Cut.apply(grad, *ctx.back), None, None


def _overlap(corner: int, window: int, side: int) -> tuple[slice, slice]:
    """Of a line of ``window`` pixels that begins at ``corner`` of another of ``side``: where both are, in each."""
    first, last = max(0, corner), max(max(0, corner), min(side, corner + window))
    return slice(first - corner, last - corner), slice(first, last)
