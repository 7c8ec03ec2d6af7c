"""Damage as it happens to files: bits flipped, ends cut off, blocks lost, zeroed, doubled or foreign."""

from __future__ import annotations

from hypothesis import strategies as st

# What readers of numbers, of text and of terminals stumble over.
WORDS = (b"\0", b"\xff\xff\xff\xff", b"-1", b"1e999", b"NaN", b"null", b"{}", b"[", b'"', b"\x1b[31m", b"\r\n", b"../",
         b"1" * 5000, b"\xe9", b",", b";", b": ", b"- ", b"&a *a", b"!!python/name:os.system ", b"true")  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """``whole`` after one to three accidents."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        size = draw(st.integers(1, 64))
        match draw(st.sampled_from(("flip", "cut", "drop", "zero", "double", "word", "bytes"))):
            case "flip" if data:
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + size]
            case "zero":
                data[at : at + size] = bytes(len(data[at : at + size]))
            case "double":
                data[at:at] = data[at : at + size]
            case "word":
                data[at:at] = draw(st.sampled_from(WORDS))
            case "bytes":
                data[at : at + size] = draw(st.binary(max_size=16))
    return bytes(data)
