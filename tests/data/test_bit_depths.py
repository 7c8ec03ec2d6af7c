"""Pictures of more than eight bits, and of floats."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from kaogan.core.notes import note
from kaogan.data import BrokenPicture, decode, read_picture
from kaogan.data.decoding import read_with_header
from tests.data.conftest import COLOURS, close, encoded, swapped_profile

RED = COLOURS["red"]


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    for form in ("PNG", "TIFF"):
        result = decode(encoded(Image.fromarray(ramp), form), 64, channels=1)[..., 0]
        np.testing.assert_allclose(result, ramp / 257, atol=0.51)
    dark = Image.fromarray(np.full((8, 8), 5000, np.uint16))
    assert close(decode(encoded(dark), 8), round(5000 / 257), 0)  # and not stretched to what happens to be there


@pytest.mark.parametrize(
    ("most", "kind", "form"), [(255, np.uint16, "PNG"), (1023, np.uint16, "PNG"), (4095, np.uint16, "PNG"),
                               (255, np.int32, "TIFF"), (4095, np.int32, "TIFF")]
)  # fmt: skip
def test_fewer_bits_in_a_wide_file_are_not_black(
    most: int, kind: type, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    note.cache_clear()
    ramp = np.linspace(0, most, 64 * 64).round().astype(kind).reshape(64, 64)
    result = decode(encoded(Image.fromarray(ramp), form), 64, channels=1)[..., 0]
    np.testing.assert_allclose(result, ramp * (255 / most), atol=0.51)
    assert f"scaled from 0 … {most:,} to" in caplog.text
    caplog.clear()
    note.cache_clear()
    decode(encoded(Image.fromarray(np.full((8, 8), 65535, np.uint16))), 8)
    decode(encoded(Image.fromarray(np.zeros((8, 8), np.uint16))), 8)
    assert not caplog.text


def deep_png(values: np.ndarray, profile: bytes = b"") -> bytes:
    """A PNG of uint16 (H, W, 1 to 4)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, layers = values.shape
    head = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[layers - 1], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    colours = chunk(b"iCCP", b"x\0\0" + zlib.compress(profile)) if profile else b""
    body = chunk(b"IHDR", head) + colours + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@pytest.mark.parametrize("top", [255, 1023, 4095, 65535])
def test_fewer_bits_in_deep_colours_are_not_black(top: int, layers: int, caplog: pytest.LogCaptureFixture) -> None:
    note.cache_clear()
    values = np.zeros((8, 8, layers), np.uint16)
    values[..., 0], values[0, 0] = top // 2, top
    if layers in (2, 4):
        values[..., -1] = 65535
    found, header = read_with_header(deep_png(values))
    colour = 127.5 if layers < 3 else (127.5, 0, 0)
    assert close(np.asarray(found)[4:, 4:], colour, 1) and close(np.asarray(found)[0, 0], 255, 0)
    assert not header.plain and ("were scaled from 0" in caplog.text) == (top < 65535)


def test_deep_colours_of_a_tiff_and_a_black_picture() -> None:
    values = np.full((8, 8, 3), (100, 2000, 4000), np.uint16)  # cv2's order: blue, green, red
    assert close(decode(cv2.imencode(".tiff", values)[1].tobytes(), 8), (249, 125, 6), 1)
    assert decode(deep_png(np.zeros((8, 8, 3), np.uint16)), 8).max() == 0


def test_colour_profiles_of_sixteen_bits() -> None:
    """In grey, a gamma of 1 instead of sRGB's; in colour, red and blue exchanged."""
    grey = np.full((8, 8, 1), 60 * 257, np.uint16)
    assert close(decode(deep_png(grey, grey_profile()), 8), 133, 2)
    assert close(decode(encoded(Image.new("L", (8, 8), 60), icc_profile=grey_profile()), 8), 133, 2)
    assert close(decode(deep_png(np.full((8, 8, 3), RED, np.uint16) * 257, swapped_profile()), 8), RED[::-1])


def grey_profile() -> bytes:
    """An ICC profile of grey with a gamma of 1, by the specification."""
    white = struct.pack(">iii", 63190, 65536, 54061)
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"gray\0" + bytes(78), b"wtpt": b"XYZ \0\0\0\0" + white,
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">IH", 1, 256) + bytes(2), b"cprt": b"text\0\0\0\0cc0\0",
    }  # fmt: skip
    table, data = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = struct.pack(">I4xI4s4s4s12x4s28x12s", 128 + len(table) + len(data), 0x02100000, b"mntr", b"GRAY", b"XYZ ",
                       b"acsp", white)  # fmt: skip
    return head.ljust(128, b"\0") + table + data


def test_floats_that_are_not_finite(caplog: pytest.LogCaptureFixture) -> None:
    note.cache_clear()
    values = np.array([[0, 0.5], [np.nan, np.inf]], np.float32)
    found = np.asarray(read_picture(encoded(Image.fromarray(values), "TIFF"), 1))
    assert found.tolist() == [[0, 128], [0, 128]]
    assert "not finite" in caplog.text
    with pytest.raises(BrokenPicture, match="only NaN or infinity"):
        decode(encoded(Image.fromarray(values * np.nan), "TIFF"), 2)


@pytest.mark.parametrize("layers", [1, 3])
def test_many_bits_take_no_many_bytes(layers: int) -> None:
    """The numbers, the result and a few floats: whole arrays of floats were 32 and 54 bytes a pixel."""
    values = np.full((2000, 1000, layers), 3000, np.uint16)
    data = deep_png(values)
    read_picture(data)
    tracemalloc.start()
    try:
        found = read_picture(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert close(np.asarray(found), round(3000 / 4095 * 255), 0) and most < 22 * values.size // layers


def test_colour_with_sixteen_bits() -> None:
    """Pillow writes no such PNG, OpenCV does."""
    colour = np.full((8, 8, 3), (40 * 257, 30 * 257, 200 * 257), np.uint16)  # BGR
    data = cv2.imencode(".png", colour)[1].tobytes()
    assert close(decode(data, 8), RED, 1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0.0, 0.5, 1.0), (0, 128, 255)), ((0.0, 100.0, 255.0), (0, 100, 255)), ((-10.0, 0.0, 10.0), (0, 128, 255))],
)
def test_float_tiff(values: tuple[float, ...], expected: tuple[int, ...]) -> None:
    image = Image.fromarray(np.repeat(np.array([values], np.float32), 3, 0))
    assert close(decode(encoded(image, "TIFF"), 3, channels=1)[0, :, 0], expected, 1)


def test_integers_of_32_bits() -> None:
    image = Image.fromarray(np.array([[0, 32768, 65535]] * 3, np.int32))
    assert close(decode(encoded(image, "TIFF"), 3, channels=1)[0, :, 0], (0, 128, 255), 1)
    flat = Image.fromarray(np.full((3, 3), 400.0, np.float32))
    assert decode(encoded(flat, "TIFF"), 3).shape == (3, 3, 3)  # no division by a range of zero
