"""Text from outside made safe to print: names of files, tensors and attributes may hold anything."""

from __future__ import annotations

import re
import unicodedata

# Cc: control characters, among them ESC, which starts a terminal's escape sequences. Cf: invisible marks that turn the
# direction of writing round or hide letters. Cs: halves of surrogate pairs, which no terminal can encode.
_HIDDEN = {"Cc", "Cf", "Cs"}
_KEPT = "\n\t\u200d"  # the joiner of emoji
_ASCII = re.compile(r"[ -~]*")


def printable(text: object) -> str:
    """``text`` with every character that a terminal would obey, or hide, written as its escape (``\\x1b``).

    Line breaks and tabs stay: who needs one line joins the words.
    """
    text = str(text)
    if _ASCII.fullmatch(text):
        return text
    return "".join(c if c in _KEPT or unicodedata.category(c) not in _HIDDEN else _escaped(c) for c in text)


def one_line(text: object, limit: int | None = None) -> str:
    """``printable`` text on one line, cut off with … after ``limit`` characters."""
    line = " ".join(printable(text).split())
    return line if limit is None or len(line) <= limit else f"{line[: limit - 1]}…"


def shown(name: str) -> str:
    """A name that can be printed on one line: no control characters, no bytes that are not text."""
    if name.isprintable():
        return name
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cs") else c for c in name)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
