"""Tests of windows cut out of batches."""

import torch

from kaogan.core.windows import cut_windows, windows_by_index


def test_each_picture_has_its_own_window() -> None:
    images = torch.arange(2 * 1 * 4 * 4.0).view(2, 1, 4, 4)
    windows = cut_windows(images, [(1, 2), (0, 0)], (2, 2))
    assert torch.equal(windows, torch.stack([images[0, :, 1:3, 2:4], images[1, :, :2, :2]]))


def test_what_lies_outside_is_zero() -> None:
    images = torch.arange(1.0, 10).view(1, 1, 3, 3)
    moved = cut_windows(images, [(-1, 1)], (3, 3))
    assert moved[0, 0].tolist() == [[0, 0, 0], [2, 3, 0], [5, 6, 0]]
    assert not cut_windows(images, [(-7, 0)], (3, 3)).any() and not cut_windows(images, [(0, 5)], (3, 3)).any()


def test_derivatives_of_first_and_second_order() -> None:
    images = torch.randn(3, 2, 4, 5, dtype=torch.double, requires_grad=True)

    def cut(x: torch.Tensor) -> torch.Tensor:
        return cut_windows(x.square(), [(-1, 2), (1, -3), (0, 0)], (3, 4))

    assert torch.autograd.gradcheck(cut, images) and torch.autograd.gradgradcheck(cut, images)


def test_the_layout_of_the_memory_stays() -> None:
    images = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert cut_windows(images, [(0, 1), (1, 0)], (2, 2)).is_contiguous(memory_format=torch.channels_last)


def test_every_device_cuts_alike() -> None:
    images, corners = torch.randn(5, 2, 6, 7), [(0, -1), (3, 0), (-2, 2), (1, 40), (-40, 0)]
    for size in ((6, 7), (3, 2), (9, 8)):
        assert torch.equal(windows_by_index(images, corners, size), cut_windows(images, corners, size))
