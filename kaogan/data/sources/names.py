"""Decoding of file names that an archive holds as bytes of an unknown encoding."""

from __future__ import annotations

from collections.abc import Sequence

_ENCODINGS = {"utf-8": "UTF-8", "cp932": "Shift-JIS", "gbk": "GBK", "big5": "Big5", "cp949": "Korean"}
_HALF_WIDTH = range(0xFF61, 0xFFA0)  # katakana: what bytes of other encodings become as Shift-JIS
_PRIVATE = range(0xE000, 0xF900)


def decode_names(names: Sequence[bytes]) -> tuple[list[str], str] | None:
    """The names and their encoding: the first that all of them are text in; None when there is none."""
    for encoding, title in _ENCODINGS.items():
        try:
            decoded = [name.decode(encoding) for name in names]
        except UnicodeDecodeError:
            continue
        if not _is_strange("".join(decoded)):
            return decoded, title
    return None


def _is_strange(text: str) -> bool:
    """More of it than a tenth are characters that hardly any name has."""
    letters = [ord(letter) for letter in text if not letter.isascii()]
    strange = sum(letter in _HALF_WIDTH or letter in _PRIVATE or letter < 0xA0 for letter in letters)
    return 10 * strange > len(letters)
