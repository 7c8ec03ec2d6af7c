"""Windows cut out of batches of pictures, each at its own place, differentiable as often as one likes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kaogan.core.device import to_device

Corner = tuple[int, int]
"""Row and column of a window's first pixel in its picture; negative ones lie outside."""


def cut_windows(images: Tensor, corners: Sequence[Corner], size: tuple[int, int]) -> Tensor:
    """Images (N, C, H, W) and a corner of each -> (N, C, *size); what lies outside a picture is 0."""
    if images.device.type != "cpu":
        return windows_by_index(images, corners, size)
    out: Tensor = _Cut.apply(images, tuple(corners), size)
    return out


def windows_by_index(images: Tensor, corners: Sequence[Corner], size: tuple[int, int]) -> Tensor:
    """``cut_windows`` in as many launches for a batch as for a single picture."""
    for axis, starts, side in zip((2, 3), torch.tensor(corners).unbind(1), size, strict=True):
        where = torch.arange(side) + starts[:, None]
        inside = to_device((where >= 0) & (where < images.shape[axis]), images.device).to(images.dtype)
        shape = [len(images), 1, 1, 1]
        shape[axis] = side
        whole = [*images.shape[:axis], side, *images.shape[axis + 1 :]]
        index = to_device(where.clamp(0, images.shape[axis] - 1), images.device).view(shape).expand(whole)
        images = images.gather(axis, index) * inside.view(shape)
    return images


class _Cut(torch.autograd.Function):
    """Picture by picture; the derivative of slices would fill a whole picture for each. Its own pastes: it cuts
    pictures of the old size out of windows, from minus the corners on."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, corners: Sequence[Corner], size: tuple[int, int]) -> Tensor:
        ctx.back = tuple((-top, -left) for top, left in corners), (images.shape[2], images.shape[3])
        last = images.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        shape = *images.shape[:2], *size
        out = torch.empty(shape, dtype=images.dtype, device=images.device, memory_format=layout).zero_()
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
