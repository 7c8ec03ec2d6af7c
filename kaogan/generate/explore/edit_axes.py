"""Moves: what a slider does to a point. Each takes a point and a strength; strength 0 leaves the point as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from kaogan.core.errors import UsageError
from kaogan.generate.explore.latent_point import Point, with_attributes, with_code
from kaogan.generate.model import Model

if TYPE_CHECKING:
    from kaogan.generate.explore.attribute_directions import Edits
    from kaogan.generate.explore.directions import Directions

Move = Callable[[Point, float], Point]


def component(model: Model, index: int, absolute: bool = False) -> Move:
    """Component ``index`` of z (negative: from the end) plus the strength; ``absolute``: it becomes the strength.

    The latter is the sweep of system K's notebook. Raises UsageError.
    """
    size = model.latent_size
    if not -size <= index < size:
        raise UsageError(
            f"z has no component {index}: they are numbered 0 to {size - 1}, or -1 to -{size} from the end"
        )

    def move(point: Point, strength: float) -> Point:
        z = point.z.clone()
        z[index] = strength if absolute else z[index] + strength
        return replace(point, z=z, w=None)  # a w that was made from the old z would hide the new one

    return move


def toward(model: Model, attribute: str, value: str) -> Move:
    """The code, and through it w, towards a value: strength 1 is the value itself, beyond it is more than that, below 0
    away from it. Raises UsageError."""
    model.attributes[attribute].index(value)

    def move(point: Point, strength: float) -> Point:
        target = with_attributes(model, replace(point, w=None), **{attribute: value}).code
        assert point.code is not None and target is not None
        return with_code(model, point, point.code + (target - point.code) * strength)

    return move


def move_of(model: Model, word: str, directions: Directions | Edits | None = None, absolute: bool = False) -> Move:
    """The move that a word names: ``7`` or ``-1`` a component of z, a name in ``directions``, or ``hair=pink`` the code
    of a conditional model. Raises UsageError."""
    if word.removeprefix("-").isdigit():
        return component(model, int(word), absolute)
    if directions is not None and word in directions.names:
        return lambda point, strength: directions.move(point, word, strength)
    name, equals, value = word.partition("=")
    if equals and name in model.attributes.names:
        return toward(model, name, value)
    if directions is not None:
        directions.index(word)  # tells the nearest name
    known = "the number of a component of z" + (", or ATTRIBUTE=VALUE" if model.attributes else "")
    raise UsageError(f"unknown axis '{word}': it is {known}, or a name of --directions FILE (kaogan directions)")
