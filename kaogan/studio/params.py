"""What a request asks for: its words checked against limits, each mistake told in one line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from kaogan.core.errors import UsageError

MOST_SEED = 2**63 - 1
MOST_FACES = 100
MOST_PIXELS = 2**23  # of all faces of one answer
MOST_STEPS = 33  # of a morph
MOST_FRAMES = 600  # of a film
MOST_EVALUATED = 2_000
FARTHEST = 24  # steps from a drawn face
STRONGEST = 5.0
MOST_MOVES = 24

Words = Mapping[str, str]


@dataclass(frozen=True)
class Face:
    """Picture ``number`` of ``seed``, and from there from neighbour to neighbour: (percent of the way to a face without
    any likeness, which neighbour). Written ``7.3~35.2``."""

    seed: int = 0
    number: int = 0
    steps: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, word: str) -> Face:
        """Raises UsageError."""
        first, *steps = word.split("~")
        pairs = [re.fullmatch(r"(\d{1,19})\.(\d{1,6})", part) for part in (first, *steps)]
        if len(steps) > FARTHEST:
            raise UsageError(f"a face is at most {FARTHEST} steps from a drawn one; draw a new one")
        if not all(pairs):
            raise UsageError(f"'{word[:60]}' names no face; faces are written like 7.3 or 7.3~35.2")
        (seed, number), *rest = [(int(pair[1]), int(pair[2])) for pair in pairs if pair]
        if seed > MOST_SEED or any(not 1 <= percent <= 100 for percent, _ in rest):
            raise UsageError(f"'{word[:60]}' names no face: its numbers are out of range")
        return cls(seed, number, tuple(rest))

    def __str__(self) -> str:
        return "~".join(f"{a}.{b}" for a, b in ((self.seed, self.number), *self.steps))

    def neighbour(self, percent: int, number: int) -> Face:
        return Face(self.seed, self.number, (*self.steps, (percent, number)))


@dataclass(frozen=True)
class Look:
    """A face, what is asked of its attributes, and how far it is moved along which directions.

    ``source`` is the method or the file whose directions they are; without it their names tell the method.
    """

    face: Face
    attributes: dict[str, Any]
    moves: dict[str, float]
    source: str = ""


def whole(words: Words, name: str, usual: int, least: int, most: int) -> int:
    """Raises UsageError."""
    text, said = words.get(name, "").strip(), name.replace("_", " ")
    if not text:
        return usual
    if not re.fullmatch(r"[+-]?\d{1,40}", text):
        raise UsageError(f"the {said} must be a whole number from {least:,} to {most:,}, not '{text[:40]}'")
    value = int(text)
    if not least <= value <= most:
        raise UsageError(f"the {said} must be from {least:,} to {most:,}, not {value:,}")
    return value


def number(words: Words, name: str, usual: float, least: float, most: float) -> float:
    """Raises UsageError."""
    text = words.get(name, "").strip()
    if not text:
        return usual
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise UsageError(f"the {name} must be a number from {least:g} to {most:g}, not '{text[:40]}'")
    return value


def choice(words: Words, name: str, known: tuple[str, ...]) -> str:
    """The first is the usual one. Raises UsageError."""
    value = words.get(name, "") or known[0]
    if value not in known:
        raise UsageError(f"the {name} must be one of {', '.join(known)}, not '{value[:40]}'")
    return value


def seed(words: Words) -> int:
    return whole(words, "seed", 0, 0, MOST_SEED)


def truncation(words: Words) -> float:
    return number(words, "truncation", 1.0, 0.0, 2.0)


def count(words: Words, image_size: int, usual: int = 24) -> int:
    """Raises UsageError for more faces than the page shows or the memory should hold."""
    asked = whole(words, "count", usual, 1, MOST_FACES)
    check_pixels(asked, image_size)
    return asked


def check_pixels(count: int, side: int) -> None:
    most = max(1, MOST_PIXELS // side**2)
    if count > most:
        raise UsageError(f"at most {most} pictures of {side} × {side} px at a time, not {count}")


def attributes(words: Words) -> dict[str, Any]:
    """``a.hair=pink`` or, to mix, ``a.hair=pink,blue``: {"hair": "pink"}, {"hair": {"pink": 0.5, "blue": 0.5}}."""
    asked: dict[str, Any] = {}
    for key, value in words.items():
        if key.startswith("a.") and value:
            values = list(dict.fromkeys(value.split(",")))
            asked[key[2:]] = values[0] if len(values) == 1 else {each: 1 / len(values) for each in values}
    return asked


def moves(words: Words) -> dict[str, float]:
    """``m.sefa 1=-1.5``: strengths by the names of the directions. Raises UsageError."""
    found = {
        key[2:]: number(words, key, 0.0, -STRONGEST, STRONGEST) for key, value in words.items() if key.startswith("m.")
    }
    if len(found) > MOST_MOVES:
        raise UsageError(f"at most {MOST_MOVES} directions at a time")
    return {name: strength for name, strength in found.items() if strength}


def look(words: Words, name: str = "face") -> Look:
    """Raises UsageError."""
    if not words.get(name):
        raise UsageError(f"'{name}' is missing: click a face first")
    return Look(Face.parse(words[name]), attributes(words), moves(words), words.get("d", ""))


def packed_look(words: Words, name: str) -> Look:
    """A look that is the value of one word: ``face=7.3&a.hair=pink``. Raises UsageError."""
    text = words.get(name, "")
    try:
        return look(dict(parse_qsl(text[:4000], max_num_fields=100)))
    except ValueError:
        raise UsageError(f"'{name}' is not a face") from None
