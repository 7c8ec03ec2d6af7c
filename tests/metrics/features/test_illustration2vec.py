"""Illustration2Vec without Caffe: caffemodels of both generations, written here."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import skimage.transform
import torch
import torch.nn.functional as F

from kaogan.core.errors import KaoganError
from kaogan.metrics.features.caffemodel import read_layers
from kaogan.metrics.features.illustration2vec import MEAN_BGR, Illustration2Vec, preprocess
from tests.metrics.conftest import holds_only_for


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 20, 20, 3), np.uint8)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def blob(values: torch.Tensor, generation: int) -> bytes:
    data = values.detach().numpy().astype("<f4").tobytes()
    if generation == 2:
        return field(7, field(1, b"".join(map(varint, values.shape)))) + field(5, data)
    shape = (1,) * (4 - values.dim()) + tuple(values.shape)
    header = b"".join(field(number, side) for number, side in enumerate(shape, 1))
    return header + b"".join(varint(5 << 3 | 5) + data[i : i + 4] for i in range(0, len(data), 4))  # not packed


def layer(
    generation: int, name: str, kind: str, bottom: str, top: str, settings: bytes = b"", blobs: tuple = ()
) -> bytes:
    numbers = {"Convolution": (4, 10, 106), "Pooling": (17, 19, 121), "InnerProduct": (14, 17, 117),
               "ReLU": (18, 30, 123), "Dropout": (6, 12, 108), "Sigmoid": (19, 38, 124)}[kind]  # fmt: skip
    if generation == 1:
        body = field(2, bottom) + field(3, top) + field(4, name) + field(5, numbers[0])
        return field(2, body + b"".join(field(6, blob(b, 1)) for b in blobs) + field(numbers[1], settings))
    body = field(1, name) + field(2, kind) + field(3, bottom) + field(4, top)
    return field(100, body + b"".join(field(7, blob(b, 2)) for b in blobs) + field(numbers[2], settings))


def caffemodel(generation: int, seed: int = 0) -> tuple[bytes, torch.nn.Sequential]:
    """A small network with everything the real one has, and the same in PyTorch."""
    torch.manual_seed(seed)
    reference = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2, 2, ceil_mode=True),
        torch.nn.Conv2d(6, 8, 3, padding=1, stride=2, groups=2), torch.nn.ReLU(),
        torch.nn.MaxPool2d(2, 2, ceil_mode=True), torch.nn.Flatten(), torch.nn.Linear(8 * 4 * 4, 10),
    )  # fmt: skip
    first, second, linear = reference[0], reference[3], reference[7]
    convolution = field(1, 6) + field(3, 1) + field(4, 3)
    grouped = field(1, 8) + field(5, 2) + (
        field(3, 1) + field(4, 3) + field(6, 2) if generation == 1
        else field(3, varint(1)) + field(4, varint(3)) + field(6, varint(2))
    )  # fmt: skip
    pooling = field(1, 0) + field(2, 2) + field(3, 2)
    parts = [
        field(1, "tiny"),
        layer(generation, "conv1", "Convolution", "data", "conv1", convolution, (first.weight, first.bias)),
        layer(generation, "relu1", "ReLU", "conv1", "conv1"),
        layer(generation, "pool1", "Pooling", "conv1", "pool1", pooling),
        layer(generation, "conv2", "Convolution", "pool1", "conv2", grouped, (second.weight, second.bias)),
        layer(generation, "relu2", "ReLU", "conv2", "conv2"),
        layer(generation, "pool2", "Pooling", "conv2", "pool2", pooling),
        layer(generation, "drop", "Dropout", "pool2", "pool2"),
        layer(generation, "encode1", "InnerProduct", "pool2", "encode1", field(1, 10), (linear.weight, linear.bias)),
        layer(generation, "relu3", "Sigmoid", "encode1", "encode1"),
        layer(generation, "encode2", "InnerProduct", "encode1", "encode2", field(1, 2), (torch.ones(2, 10),)),
    ]
    return b"".join(parts), reference


@pytest.mark.parametrize("generation", [1, 2])
@torch.no_grad()
def test_both_generations_of_caffemodels(generation: int, tmp_path: Path, pictures: np.ndarray) -> None:
    data, reference = caffemodel(generation)
    path = tmp_path / "tiny.caffemodel"
    path.write_bytes(data)
    extractor = Illustration2Vec(path, side=29)  # odd, so that the pools' ceil matters: 29, 15, 8, 4
    assert extractor.size == 10

    def check(prepare) -> None:
        assert extractor(pictures) == pytest.approx(reference(prepare(pictures)).numpy(), rel=1e-5, abs=1e-4)

    holds_only_for(
        lambda p: preprocess(p, 29),
        {
            "RGB": lambda p: preprocess(p[..., ::-1], 29),
            "mean in RGB order": lambda p: preprocess(p, 29) + torch.tensor(MEAN_BGR).view(1, 3, 1, 1).flip(1) * 0.1,
            "0 to 1": lambda p: preprocess(p, 29) / 255,
        },
        check,
    )


def test_preprocessing_is_that_of_its_own_code() -> None:
    """scikit-image's order 1, mode constant, in the picture's own range moved to 0..1 and back."""
    picture = np.random.default_rng(3).integers(40, 230, (1, 64, 64, 3), np.uint8)
    image = picture[0].astype(float)
    low, high = image.min(), image.max()
    scaled = skimage.transform.resize((image - low) / (high - low), (224, 224), order=1, mode="constant",
                                      anti_aliasing=False) * (high - low) + low  # fmt: skip
    expected = (scaled[..., ::-1] - np.array(MEAN_BGR)).transpose(2, 0, 1)

    def check(prepare) -> None:
        assert np.abs(prepare(picture)[0].numpy() - expected).max() < 1e-3

    def edges_repeated(pictures: np.ndarray) -> torch.Tensor:
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
        images = F.interpolate(images, (224, 224), mode="bilinear").flip(1)
        return images - torch.tensor(MEAN_BGR).view(1, 3, 1, 1)

    holds_only_for(preprocess, {"edges repeated": edges_repeated}, check)
    flat = np.full((1, 8, 8, 3), 77, np.uint8)
    assert (preprocess(flat, 16).flip(1) + torch.tensor(MEAN_BGR).flip(0).view(1, 3, 1, 1)).numpy() == pytest.approx(77)


def test_damaged_and_foreign_caffemodels(tmp_path: Path) -> None:
    data, _ = caffemodel(2)
    path = tmp_path / "tiny.caffemodel"
    for cut in range(1, len(data), 97):
        path.write_bytes(data[:cut])
        with pytest.raises(KaoganError, match=r"tiny\.caffemodel"):
            Illustration2Vec(path, side=29)
    random = np.random.default_rng(0)
    for _ in range(60):
        noise = bytearray(data)
        for place in random.integers(0, 400, 6):
            noise[place] = random.integers(256)
        path.write_bytes(noise)
        try:
            Illustration2Vec(path, side=29)
        except KaoganError as error:
            assert "\n" not in str(error)
    path.write_bytes(field(100, field(1, "conv1") + field(2, "Convolution")))
    with pytest.raises(KaoganError, match="no layer encode1"):
        Illustration2Vec(path)
    path.write_bytes(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
    with pytest.raises(KaoganError, match="not a whole caffemodel"):
        read_layers(path)
    path.write_bytes(b"")
    with pytest.raises(KaoganError, match="no layers"):
        read_layers(path)
    huge = field(7, field(1, varint(1 << 40) + varint(1 << 40))) + field(5, struct.pack("<f", 1))
    path.write_bytes(field(100, field(1, "encode1") + field(2, "InnerProduct") + field(7, huge)))
    with pytest.raises(KaoganError, match="1 weights for a shape"):
        read_layers(path)
