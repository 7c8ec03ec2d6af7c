"""Reading Caffe's ``.caffemodel`` files without Caffe: both generations of its protobuf layout, V1 and V2.

A file is a ``NetParameter``: field 2 repeats V1LayerParameter, field 100 repeats LayerParameter (caffe.proto). Only
what a chain of convolutions, pools and linear layers needs is read; every length is checked against the file's.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kaogan.core.atomic_io import explain
from kaogan.core.errors import KaoganError, UsageError

MAX_BYTES = 2 * 2**30  # protobuf's own limit of a message
MAX_LAYERS, MAX_DIMENSIONS = 1000, 8
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
V1_TYPES = {4: "Convolution", 5: "Data", 6: "Dropout", 8: "Flatten", 14: "InnerProduct", 17: "Pooling", 18: "ReLU",
            19: "Sigmoid", 20: "Softmax", 22: "Split", 12: "ImageData", 29: "MemoryData"}  # fmt: skip


@dataclass(frozen=True)
class _Fields:
    """Numbers of the fields that differ between the generations."""

    name: int
    type: int
    bottom: int
    top: int
    blobs: int
    convolution: int
    linear: int
    pooling: int
    relu: int


V1 = _Fields(name=4, type=5, bottom=2, top=3, blobs=6, convolution=10, linear=17, pooling=19, relu=30)
V2 = _Fields(name=1, type=2, bottom=3, top=4, blobs=7, convolution=106, linear=117, pooling=121, relu=123)


@dataclass
class Layer:
    name: str
    type: str
    bottoms: list[str] = field(default_factory=list)
    tops: list[str] = field(default_factory=list)
    blobs: list[np.ndarray] = field(default_factory=list)
    settings: dict[int, list[int]] = field(default_factory=dict)
    """Of the layer's own message: field number -> whole numbers."""
    slope: float = 0.0
    """Of a leaky ReLU."""

    def setting(self, number: int, default: int) -> int:
        return self.settings.get(number, [default])[0]


def read_layers(path: Path) -> list[Layer]:
    """The layers in the file's order. Raises UsageError for no file, KaoganError for anything that is not one."""
    if not path.is_file():
        raise UsageError(f"no file {path}; name the .caffemodel")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise KaoganError(f"{path} is larger than 2 GB: not a caffemodel")
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise explain(error, path) from error
    layers = []
    try:
        for number, kind, value in _fields(data):
            if kind == BYTES and number in (2, 100):
                layers.append(_layer(value, V1 if number == 2 else V2))
            if len(layers) > MAX_LAYERS:
                raise ValueError(f"more than {MAX_LAYERS} layers")
    except (ValueError, IndexError, struct.error, UnicodeDecodeError, OverflowError) as error:
        raise KaoganError(f"{path} is not a whole caffemodel ({error}); download it again") from error
    if not layers:
        raise KaoganError(f"{path} holds no layers of Caffe; name the .caffemodel, not another file")
    return layers


def _fields(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """(field number, wire type, bytes) of one message; a varint's bytes are its own encoding."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if not number:
            raise ValueError("a field of number 0")
        start = place
        if kind == VARINT:
            _, place = _varint(data, place)
        elif kind == BYTES:
            length, start = _varint(data, place)
            place = start + length
        elif kind in (FIXED32, FIXED64):
            place += 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if place > len(data):
            raise ValueError("it ends in the middle")
        yield number, kind, data[start:place]


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise ValueError("it ends in the middle" if place >= len(data) else "a number of more than 64 bits")
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


def _whole(value: memoryview) -> int:
    return _varint(value, 0)[0]


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8")


def _layer(data: memoryview, numbers: _Fields) -> Layer:
    layer = Layer("", "")
    for number, kind, value in _fields(data):
        if number == numbers.type:
            layer.type = V1_TYPES.get(_whole(value), f"type {_whole(value)}") if kind == VARINT else _text(value)
        elif kind != BYTES:
            continue
        elif number == numbers.name:
            layer.name = _text(value)
        elif number == numbers.bottom:
            layer.bottoms.append(_text(value))
        elif number == numbers.top:
            layer.tops.append(_text(value))
        elif number == numbers.blobs:
            layer.blobs.append(_blob(value))
        elif number in (numbers.convolution, numbers.linear, numbers.pooling):
            layer.settings = _numbers(value)
        elif number == numbers.relu:
            layer.slope = next((struct.unpack("<f", v)[0] for n, k, v in _fields(value) if (n, k) == (1, FIXED32)), 0.0)
    return layer


def _numbers(data: memoryview) -> dict[int, list[int]]:
    """The whole numbers of a message, single or packed."""
    found: dict[int, list[int]] = {}
    for number, kind, value in _fields(data):
        if kind == VARINT:
            found.setdefault(number, []).append(_whole(value))
        elif kind == BYTES and number in (3, 4, 6, 18):  # pad, kernel_size, stride, dilation may come packed
            found.setdefault(number, []).extend(_packed(value))
    return found


def _packed(data: memoryview) -> list[int]:
    values, place = [], 0
    while place < len(data):
        value, place = _varint(data, place)
        values.append(value)
        if len(values) > MAX_DIMENSIONS:
            raise ValueError(f"more than {MAX_DIMENSIONS} dimensions")
    return values


def _blob(data: memoryview) -> np.ndarray:
    """A BlobProto as float32: old dimensions (fields 1 to 4) or a shape (7); data packed or not (5), or double (8)."""
    old, shape = dict[int, int](), list[int]()
    packed: list[np.ndarray] = []
    single: list[bytes] = []
    for number, kind, value in _fields(data):
        if number in (1, 2, 3, 4) and kind == VARINT:
            old[number] = _whole(value)
        elif number == 7 and kind == BYTES:
            for n, k, v in _fields(value):
                if n == 1:
                    shape.extend([_whole(v)] if k == VARINT else _packed(v))
        elif number == 5 and kind == BYTES:
            packed.append(np.frombuffer(value, "<f4"))
        elif number == 5 and kind == FIXED32:
            single.append(bytes(value))
        elif number == 8 and kind == BYTES:
            packed.append(np.frombuffer(value, "<f8").astype(np.float32))
    if single:
        packed.append(np.frombuffer(b"".join(single), "<f4"))
    values = np.concatenate(packed) if packed else np.empty(0, np.float32)
    shape = shape or [old.get(number, 1) for number in (1, 2, 3, 4)] if old or shape else [len(values)]
    if int(np.prod(shape, dtype=object)) != len(values):
        raise ValueError(f"{len(values)} weights for a shape of {shape}")
    return values.reshape(shape)
