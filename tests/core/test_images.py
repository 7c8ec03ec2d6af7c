import numpy as np
import pytest
import torch

from kaogan.core.images import grid, to_float, to_uint8


def test_every_value_comes_back() -> None:
    pictures = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    images = to_float(pictures)
    assert images.shape == (1, 3, 16, 16) and images.min() == -1 and images.max() == 1
    assert (to_uint8(images) == pictures).all()


def test_values_out_of_range_do_not_wrap() -> None:
    """GANime's figures wrapped: -1 became 1, -0.5 became 129."""
    images = torch.tensor([-3.0, -1.0, -0.5, 0.0, 1.0, 9.0]).reshape(1, 1, 2, 3)
    assert to_uint8(images).flatten().tolist() == [0, 0, 64, 128, 255, 255]


def test_batches_are_laid_out_channels_last() -> None:
    assert to_float(np.zeros((4, 8, 8, 3), np.uint8)).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("count", "columns", "rows"), [(6, 3, 2), (7, 3, 3), (2, 9, 1), (1, 1, 1)])
def test_grid(count: int, columns: int, rows: int) -> None:
    pictures = np.stack([np.full((4, 5, 3), 10 * i, np.uint8) for i in range(count)])
    sheet = grid(pictures, columns, gap=1)
    columns = min(columns, count)
    assert sheet.shape == (rows * 5 + 1, columns * 6 + 1, 3)
    for i in range(count):
        top, left = 1 + i // columns * 5, 1 + i % columns * 6
        assert (sheet[top : top + 4, left : left + 5] == 10 * i).all()
    assert (sheet[0] == 255).all()
