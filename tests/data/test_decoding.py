from __future__ import annotations

import errno
import io
import pickle
import zlib
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, features

from kaogan.data import BrokenPicture, decode, read_picture
from kaogan.data import decoding as module
from kaogan.data.decoding import read_with_header
from tests.data.conftest import COLOURS, close, encoded, noise, picture, swapped_profile

RED = COLOURS["red"]


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("GIF", {}),
        ("TIFF", {}),
        ("PPM", {}),
        ("AVIF", {"quality": 95}),
    ],
)
def test_formats(form: str, options: dict[str, object]) -> None:
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    result = decode(encoded(picture(RED, (16, 16)), form, **options), 8)
    assert result.shape == (8, 8, 3) and result.dtype == np.uint8
    assert close(result, RED)


def alpha_layers() -> dict[str, tuple[bytes, tuple[int, int, int]]]:
    half = tuple(round(c * 128 / 255 + 255 * 127 / 255) for c in RED)
    palette = Image.new("P", (9, 9), 1)
    palette.putpalette([0, 0, 0, *RED, 9, 9, 9])
    one_bit = Image.new("1", (9, 9), 1)
    la = Image.new("LA", (9, 9), (60, 128))
    grey_half = round(60 * 128 / 255 + 127)
    keyed = Image.new("RGB", (9, 9), RED)
    return {
        "alpha over white": (encoded(Image.new("RGBA", (9, 9), (*RED, 128))), half),
        "invisible is white": (encoded(Image.new("RGBA", (9, 9), (*RED, 0))), (255, 255, 255)),
        "webp with alpha": (encoded(Image.new("RGBA", (9, 9), (*RED, 128)), "WEBP", lossless=True), half),
        "grey with alpha": (encoded(la), (grey_half,) * 3),
        "palette": (encoded(palette), RED),
        "palette, one colour clear": (encoded(palette, transparency=1), (255, 255, 255)),
        "palette, other colour clear": (encoded(palette, transparency=2), RED),
        "palette, alpha each": (encoded(palette, transparency=bytes([255, 128, 255])), half),
        "gif with a clear colour": (encoded(palette, "GIF", transparency=1), (255, 255, 255)),
        "rgb with a clear colour": (encoded(keyed, transparency=RED), (255, 255, 255)),
        "grey": (encoded(Image.new("L", (9, 9), 77)), (77, 77, 77)),
        "one bit": (encoded(one_bit), (255, 255, 255)),
        "grey jpeg": (encoded(Image.new("L", (9, 9), 77), "JPEG", quality=95), (77, 77, 77)),
    }


@pytest.mark.parametrize("case", list(alpha_layers()))
def test_modes(case: str) -> None:
    data, expected = alpha_layers()[case]
    assert close(decode(data, 9), expected, 2)


@pytest.mark.parametrize("mode", ["PA", "La", "RGBa", "YCbCr", "HSV"])
def test_modes_that_no_file_keeps(mode: str) -> None:
    """Modes that a decoder may hand over, converted directly."""
    if mode == "PA":
        image = Image.new("P", (4, 4), 1)
        image.putpalette([0, 0, 0, *RED])
        image = image.convert("PA")
        image.putalpha(0)
        expected = (255, 255, 255)
    elif mode in ("La", "RGBa"):
        image = Image.new(mode[:-1] + "A", (4, 4), (100, 128) if mode == "La" else (100, 100, 100, 128)).convert(mode)
        expected = (177, 177, 177)
    else:
        image, expected = Image.new("RGB", (4, 4), RED).convert(mode), RED
    assert close(np.asarray(module._to_mode(image, 3)), expected, 4)


def test_cmyk_jpeg() -> None:
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert close(decode(encoded(cmyk, "JPEG", quality=95), 16), (255, 0, 0), 4)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_colour_profiles_are_converted(form: str) -> None:
    source = picture((200, 30, 40), (16, 16))
    options = {"quality": 100} if form in ("JPEG", "WEBP") else {}
    data = encoded(source, form, icc_profile=swapped_profile(), **options)
    result, header = read_with_header(data)
    assert close(np.asarray(result), (40, 30, 200), 12) and not header.plain
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = encoded(source, form, icc_profile=srgb, **options)
    untouched, header = read_with_header(plain)
    assert np.array_equal(np.asarray(untouched), np.asarray(read_picture(encoded(source, form, **options))))
    assert header.plain


def test_profiles_of_alpha_palettes_and_rubbish() -> None:
    profile = swapped_profile()
    clear = Image.new("RGBA", (4, 4), (200, 30, 40, 128))
    found = np.asarray(read_picture(encoded(clear, icc_profile=profile), channels=4))
    assert close(found[..., :3], (40, 30, 200), 6) and (found[..., 3] == 128).all()
    palette = picture((200, 30, 40)).quantize(4)
    assert close(np.asarray(read_picture(encoded(palette, icc_profile=profile))), (40, 30, 200), 6)
    for broken in (b"rubbish", profile[:200]):
        assert close(np.asarray(read_picture(encoded(picture((200, 30, 40)), icc_profile=broken))), (200, 30, 40), 0)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}], ids=str)
def test_a_jpeg_without_its_end_is_read_and_a_cut_one_is_not(options: dict[str, object]) -> None:
    whole = encoded(noise((96, 80)), "JPEG", quality=90, **options)
    expected = np.asarray(read_picture(whole))
    for ended in (whole[:-2], whole[:-1], whole[:-2] + bytes(3)):
        assert np.array_equal(np.asarray(read_picture(ended)), expected)
    for cut in (60, 200, len(whole) // 2):
        with pytest.raises(BrokenPicture, match="truncated"):
            read_picture(whole[:-cut])


def test_a_large_jpeg_without_its_end_is_read_and_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the lock of large pictures twice, and no other reader would take it as it is."""
    monkeypatch.setattr(module, "_LARGE_PIXELS", 0)
    whole = encoded(noise((96, 80)), "JPEG")
    _, header = read_with_header(whole[:-2])
    assert header.completed and not header.plain and not read_with_header(whole)[1].completed


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (b"<!DOCTYPE html><title>404</title>", "web page"),
        (b"\xff\x0a\xfa\x1f\x01\x92", "JPEG XL"),
        (b"\0\0\0\x20ftypisom", "a video"),
        (b"8BPS\0\1", "Photoshop"),
    ],
)
def test_other_files_named_like_pictures_are_called_what_they_are(start: bytes, what: str) -> None:
    with pytest.raises(BrokenPicture, match=what):
        read_picture(start + bytes(100))


def test_only_the_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in (RED, (0, 0, 255))]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert close(decode(data, 8), RED)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation(orientation: int, form: str) -> None:
    """A picture with a red top left and a blue top right corner, stored turned, comes out upright."""
    upright = np.full((32, 32, 3), 255, np.uint8)
    upright[:16, :16], upright[:16, 16:] = (255, 0, 0), (0, 0, 255)
    # The EXIF standard: which side of the stored picture is the upright picture's first row and first column.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), form, exif=exif, **options)
    result = decode(data, 32)
    assert close(result[4, 4], (255, 0, 0), 10) and close(result[4, 28], (0, 0, 255), 10)
    assert close(result[28, 4], 255, 10)


def test_a_broken_exif_block_loses_nothing() -> None:
    data = encoded(picture(RED), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff junk")
    assert close(decode(data, 8), RED, 4)


def test_antialiased() -> None:
    """A checkerboard of single pixels becomes its mean, not one of its colours."""
    board = (np.indices((128, 128)).sum(0) % 2 * 255).astype(np.uint8)
    assert close(decode(encoded(Image.fromarray(board)), 8), 127, 4)


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (41, 20), (7, 5), (8, 9), (300, 8), (9, 300)])
def test_resize_then_crop_the_centre(size: tuple[int, int]) -> None:
    """Against the obvious two steps."""
    image = noise(size)
    scale = 8 / min(size)
    whole = image.resize((max(8, round(size[0] * scale)), max(8, round(size[1] * scale))), Image.Resampling.LANCZOS)
    left, top = (whole.width - 8) // 2, (whole.height - 8) // 2
    expected = np.asarray(whole.crop((left, top, left + 8, top + 8)))
    assert close(decode(encoded(image), 8), expected, 4)


def test_a_picture_of_the_right_size_is_untouched() -> None:
    image = noise((24, 24))
    np.testing.assert_array_equal(decode(encoded(image), 24), np.asarray(image))


@pytest.mark.parametrize(
    ("size", "shortest"), [((1600, 1200), 150), ((640, 400), 100), ((400, 300), 150), ((240, 160), 160)]
)
def test_reduced_jpeg_looks_like_the_whole_one(size: tuple[int, int], shortest: int) -> None:
    fine = np.random.default_rng(1).integers(0, 256, (size[1] // 10, size[0] // 10, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(fine).resize(size, Image.Resampling.NEAREST), "JPEG", quality=92)
    assert min(read_picture(data, at_least=32).size) == shortest  # by 1, 2, 4 or 8, and never below 96
    assert read_picture(data).size == size
    whole = decode(encoded(Image.open(io.BytesIO(data)).copy()), 32)
    assert np.abs(decode(data, 32).astype(int) - whole).mean() < 2


def test_grey() -> None:
    result = decode(encoded(picture(RED)), 8, channels=1)
    assert result.shape == (8, 8, 1)
    assert close(result, round(0.299 * 200 + 0.587 * 30 + 0.114 * 40), 1)


def test_read_picture_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(noise((1000, 700)), "JPEG"))
    image = read_picture(path)
    assert image.size == (1000, 700) and image.mode == "RGB"


EXIF = Image.Exif()
EXIF[module.ORIENTATION] = 6


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"quality": 30, "subsampling": 2}, {"restart_marker_rows": 1}, {"exif": EXIF}],
)
def test_the_short_way_for_small_jpegs_tells_the_same(mode: str, options: dict[str, object], channels: int) -> None:
    data = encoded(noise((61, 40)).convert(mode), "JPEG", comment=b"by hand", **options)
    image, header = module._read(io.BytesIO(data), channels, None)
    short = module._small_jpeg(data, channels, 64)
    assert (short is not None) == (mode != "CMYK" and "exif" not in options)
    if short:
        assert short[1] == header and short[0].mode == image.mode and short[0].tobytes() == image.tobytes()
    assert module._small_jpeg(data[: len(data) * 2 // 3], channels, 64) is None
    assert module._small_jpeg(data, channels, 5) is None  # the long way may read it reduced


JPEG, PNG, WEBP = (encoded(noise((64, 64)), form) for form in ("JPEG", "PNG", "WEBP"))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "zero bytes"),
        (b"just text", "not a known kind"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a known kind"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (PNG[: len(PNG) // 2], "truncated"),
        (WEBP[: len(WEBP) // 2], "broken or truncated|not a known kind"),
        (encoded(noise((64, 64)), "BMP")[:3000], "truncated"),
        (encoded(noise((64, 64)), "GIF")[:900], "truncated"),
        (JPEG[:3], "not a known kind"),
        (PNG[:40] + b"\0" * 40 + PNG[80:], "broken"),
    ],
)
def test_broken(data: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenPicture, match=reason):
        decode(data, 8)
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(BrokenPicture, match=reason):
        decode(path, 8)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(BrokenPicture, match="cannot be opened"):
            decode(path, 8)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (OSError(errno.EIO, "Input/output error"), True),
        (MemoryError(), True),
        (OSError("image file is truncated"), False),  # Pillow's own
        (OSError(errno.EINVAL, "Invalid argument"), False),
        (ValueError("bad"), False),
    ],
)
def test_what_may_pass_is_told_from_what_is_broken(
    error: Exception, passing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_load_whole", Mock(side_effect=error))
    with pytest.raises(BrokenPicture) as caught:
        decode(PNG, 8)
    assert caught.value.passing is pickle.loads(pickle.dumps(caught.value)).passing is passing


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_files_that_end_too_early_are_broken_for_good(tmp_path: Path) -> None:
    tiff = encoded(noise((64, 64)), "TIFF")
    for data in (PNG[: len(PNG) // 2], JPEG[:3], tiff[:4] + b"\xff\xff\xff\xff" + tiff[8:]):
        (tmp_path / "x.png").write_bytes(data)
        with pytest.raises(BrokenPicture) as caught:
            decode(tmp_path / "x.png", 8)
        assert not caught.value.passing


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PIXELS", 1000)
    monkeypatch.setattr(module, "_load_whole", lambda _: pytest.fail("decoded"))
    with pytest.raises(BrokenPicture, match="too large: 40 x 30"):
        decode(encoded(picture(size=(40, 30))), 8)


def test_a_real_bomb() -> None:
    """A PNG header that promises 60,000 x 60,000 pixels."""
    data = bytearray(encoded(picture()))
    data[16:24] = (60_000).to_bytes(4, "big") * 2

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    with pytest.raises(BrokenPicture, match="too large"):
        decode(bytes(data), 8)


def test_a_very_long_picture_stays_small() -> None:
    """Resizing all of 1 x 60,000 so that the short side is 64 would need 64 x 3,840,000 pixels."""
    assert decode(encoded(picture(size=(60_000, 1))), 64).shape == (64, 64, 3)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([JPEG, PNG, WEBP]), st.data())
def test_hostile_bytes_raise_nothing_but_broken_picture(data: bytes, draw: st.DataObject) -> None:
    mutable = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 8))):
        mutable[draw.draw(st.integers(0, len(mutable) - 1))] = draw.draw(st.integers(0, 255))
    try:
        assert decode(bytes(mutable), 8).shape == (8, 8, 3)
    except BrokenPicture as broken:
        assert broken.reason and "\n" not in broken.reason
