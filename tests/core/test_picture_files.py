"""Pictures as files, and as what a notebook shows."""

from __future__ import annotations

import io
import pickle

import numpy as np
import torch
from PIL import Image

from kaogan.core.images import grid, to_float
from kaogan.core.picture_files import PictureArray


def shown(pictures: np.ndarray) -> np.ndarray | None:
    data = pictures.view(PictureArray)._repr_png_()
    return None if data is None else np.asarray(Image.open(io.BytesIO(data)))


def test_a_notebook_is_shown_what_is_a_picture_and_nothing_else() -> None:
    pictures = np.random.default_rng(0).integers(256, size=(70, 4, 6, 3)).astype(np.uint8)
    assert (shown(pictures) == grid(pictures[:64], 8)).all()
    assert (shown(pictures[3]) == pictures[3]).all()
    assert (shown(pictures[:2, ..., :1]) == grid(pictures[:2, ..., :1], 2)[..., 0]).all()
    assert shown(pictures.astype(float)) is None and shown(pictures[:0]) is None and shown(pictures[..., 0]) is None


def test_an_array_that_shows_itself_is_an_array() -> None:
    plain = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    pictures = plain.view(PictureArray)
    assert isinstance(pictures, np.ndarray) and torch.equal(to_float(pictures), to_float(plain))
    assert (pictures == plain).all() and np.array_equal(pickle.loads(pickle.dumps(pictures)), plain)
    assert isinstance(pictures[0], PictureArray)
    assert type(pictures / 2) is type(pictures == plain) is np.ndarray
    assert type(pictures.mean()) is np.float64 and type(pictures.max()) is np.uint8
