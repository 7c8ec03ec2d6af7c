"""Text from outside that is printed."""

from __future__ import annotations

from kaogan.core.text import one_line, printable


def test_control_characters_are_written_as_escapes() -> None:
    assert printable("a\x1b[31mred\x1b]0;title\x07") == r"a\x1b[31mred\x1b]0;title\x07"
    assert printable("\x9b31m\u202egnp.exe\ufeff\x7f\r\b\0") == r"\x9b31m\u202egnp.exe\ufeff\x7f\r\x08\x00"
    assert printable("\ud800 lone") == r"\ud800 lone"
    assert printable("😀\U000e0041") == r"😀\U000e0041"


def test_text_of_all_languages_stays() -> None:
    for text in ("plain", "größer", "大きい ｶﾞ", "emoji 👩‍🎨", "עברית", "two\nlines\tand a tab", ""):
        assert printable(text) == text
    assert printable(12) == "12"


def test_one_line() -> None:
    assert one_line("a\n b\tc \x1b") == r"a b c \x1b"
    assert one_line("abcdef", 4) == "abc…" and one_line("abcd", 4) == "abcd"
