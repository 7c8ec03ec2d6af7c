"""Parameters of requests: parsed, checked against limits, with one-line errors."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

from kaogan.core.errors import UsageError
from kaogan.core.schema import Schema

MAX_SEED = 2**63 - 1
MAX_FACES = 100
MAX_PIXELS = 2**23  # of all faces of one answer
MAX_STEPS = 33  # of a morph
MAX_FRAMES = 600  # of a film
MAX_EVALUATED = 2_000
MAX_NEIGHBOUR_STEPS = 24  # steps from a drawn face
MAX_STRENGTH = 5.0
MAX_MOVES = 24

Query = Mapping[str, str]


@dataclass(frozen=True)
class FaceId:
    """Picture ``number`` of ``seed``, and from there from neighbour to neighbour: (percent of the way to a face without
    any likeness, which neighbour). Written ``7.3~35.2``. ``found``, in the place of the seed, is the name of a face
    that was found for an uploaded picture."""

    seed: int = 0
    number: int = 0
    steps: tuple[tuple[int, int], ...] = ()
    found: str = ""

    @classmethod
    def parse(cls, text: str) -> FaceId:
        """Raises UsageError."""
        first, *steps = text.split("~")
        uploaded = re.fullmatch(r"(u[0-9a-f]{16})\.0", first)
        if uploaded:
            first = "0.0"
        pairs = [re.fullmatch(r"(\d{1,19})\.(\d{1,6})", part) for part in (first, *steps)]
        if len(steps) > MAX_NEIGHBOUR_STEPS:
            raise UsageError(f"a face is at most {MAX_NEIGHBOUR_STEPS} steps from a drawn one; draw a new one")
        if not all(pairs):
            raise UsageError(f"'{text[:60]}' names no face; faces are written like 7.3 or 7.3~35.2")
        (seed, number), *rest = [(int(pair[1]), int(pair[2])) for pair in pairs if pair]
        if seed > MAX_SEED or any(not 1 <= percent <= 100 for percent, _ in rest):
            raise UsageError(f"'{text[:60]}' names no face: its numbers are out of range")
        return cls(seed, number, tuple(rest), uploaded[1] if uploaded else "")

    def __str__(self) -> str:
        return "~".join(f"{a}.{b}" for a, b in ((self.found or self.seed, self.number), *self.steps))

    def neighbour(self, percent: int, number: int) -> FaceId:
        return replace(self, steps=(*self.steps, (percent, number)))


@dataclass(frozen=True)
class RenderParams:
    """A face, what is asked of its attributes, and how far it is moved along which directions.

    ``source`` is the method or the file whose directions they are; without it their names tell the method.
    """

    face: FaceId
    attributes: dict[str, Any]
    moves: dict[str, float]
    source: str = ""


def whole(query: Query, name: str, default: int, minimum: int, maximum: int) -> int:
    """Raises UsageError."""
    text, label = query.get(name, "").strip(), name.replace("_", " ")
    if not text:
        return default
    if not re.fullmatch(r"[+-]?\d{1,40}", text):
        raise UsageError(f"the {label} must be a whole number from {minimum:,} to {maximum:,}, not '{text[:40]}'")
    value = int(text)
    if not minimum <= value <= maximum:
        raise UsageError(f"the {label} must be from {minimum:,} to {maximum:,}, not {value:,}")
    return value


def number(query: Query, name: str, default: float, minimum: float, maximum: float) -> float:
    """Raises UsageError."""
    text = query.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not minimum <= value <= maximum:
        raise UsageError(f"the {name} must be a number from {minimum:g} to {maximum:g}, not '{text[:40]}'")
    return value


def choice(query: Query, name: str, known: tuple[str, ...]) -> str:
    """The first is the usual one. Raises UsageError."""
    value = query.get(name, "") or known[0]
    if value not in known:
        raise UsageError(f"the {name} must be one of {', '.join(known)}, not '{value[:40]}'")
    return value


def seed(query: Query) -> int:
    return whole(query, "seed", 0, 0, MAX_SEED)


def truncation(query: Query) -> float:
    return number(query, "truncation", 1.0, 0.0, 2.0)


def keep(query: Query) -> float | None:
    """The share of latents that are drawn from; None for what the model does by itself. Raises UsageError."""
    return number(query, "keep", 1.0, 0.01, 1.0) if query.get("keep", "").strip() else None


def count(query: Query, image_size: int, default: int = 24) -> int:
    """Raises UsageError for more faces than the page shows or the memory should hold."""
    requested = whole(query, "count", default, 1, MAX_FACES)
    check_pixels(requested, image_size)
    return requested


def scale(query: Query) -> int:
    """The factor of upscaling; which ones there are is the upscaler's matter."""
    return whole(query, "scale", 1, 1, 64)


def check_pixels(count: int, side: int) -> None:
    maximum = max(1, MAX_PIXELS // side**2)
    if count > maximum:
        raise UsageError(f"at most {maximum} pictures of {side} × {side} px at a time, not {count}")


def attributes(query: Query, known: Schema) -> dict[str, Any]:
    """``a.hair=pink`` or, to mix, ``a.hair=pink,blue``: {"hair": "pink"}, {"hair": {"pink": 0.5, "blue": 0.5}}. A value
    of ``known`` that has a comma is taken as it is."""
    requested: dict[str, Any] = {}
    for key, value in query.items():
        if key.startswith("a.") and value:
            name = key[2:]
            whole = name in known.names and value in known[name].values
            values = [value] if whole else list(dict.fromkeys(value.split(",")))
            requested[name] = values[0] if len(values) == 1 else {each: 1 / len(values) for each in values}
    return requested


def moves(query: Query) -> dict[str, float]:
    """``m.sefa 1=-1.5``: strengths by the names of the directions. Raises UsageError."""
    found = {
        key[2:]: number(query, key, 0.0, -MAX_STRENGTH, MAX_STRENGTH)
        for key, value in query.items()
        if key.startswith("m.")
    }
    if len(found) > MAX_MOVES:
        raise UsageError(f"at most {MAX_MOVES} directions at a time")
    return {name: strength for name, strength in found.items() if strength}


def render_params(query: Query, known: Schema, name: str = "face") -> RenderParams:
    """Raises UsageError."""
    if not query.get(name):
        raise UsageError(f"'{name}' is missing: click a face first")
    return RenderParams(FaceId.parse(query[name]), attributes(query, known), moves(query), query.get("d", ""))


def packed_render_params(query: Query, known: Schema, name: str) -> RenderParams:
    """Render parameters in the value of one parameter: ``face=7.3&a.hair=pink``. Raises UsageError."""
    text = query.get(name, "")
    try:
        return render_params(dict(parse_qsl(text[:4000], max_num_fields=100)), known)
    except ValueError:
        raise UsageError(f"'{name}' is not a face") from None
