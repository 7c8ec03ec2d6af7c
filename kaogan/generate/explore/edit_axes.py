"""Edit axes: what one slider changes in a point. An axis takes a point and a strength; strength 0 changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kaogan.core.errors import UsageError
from kaogan.generate.explore.directions_io import BoundDirections
from kaogan.generate.explore.latent_point import LatentPoint, with_attributes, with_condition, with_latent
from kaogan.generate.model import Model

EditAxis = Callable[[LatentPoint, float], LatentPoint]


def component(model: Model, index: int, absolute: bool = False) -> EditAxis:
    """Component ``index`` of z (negative: from the end), to which the strength is added.

    With ``absolute`` the component is set to the strength, as in the latent sweep of the Keras WGAN notebook.
    Raises UsageError for an index out of range.
    """
    size = model.latent_size
    if not -size <= index < size:
        raise UsageError(
            f"z has no component {index}: they are numbered 0 to {size - 1}, or -1 to -{size} from the end"
        )

    def move(point: LatentPoint, strength: float) -> LatentPoint:
        z = point.z.clone()
        z[index] = strength if absolute else z[index] + strength
        return with_latent(model, point, z)

    return move


def toward(model: Model, attribute: str, value: str) -> EditAxis:
    """The condition of a conditional model, moved towards an attribute value (and w with it).

    Strength 1 is the value itself, more exaggerates it, less than 0 moves away. Raises UsageError for an unknown name.
    """
    model.attributes[attribute].index(value)

    def move(point: LatentPoint, strength: float) -> LatentPoint:
        target = with_attributes(model, replace(point, w=None), {attribute: value}).condition
        assert point.condition is not None and target is not None
        return with_condition(model, point, point.condition + (target - point.condition) * strength)

    return move


def edit_axis(model: Model, word: str, directions: BoundDirections | None = None, absolute: bool = False) -> EditAxis:
    """The axis that a word names: a component of z (``7``, ``-1``), a direction, or ``hair=pink`` (the condition).

    Raises UsageError for any other word.
    """
    if word.removeprefix("-").isdigit():
        return component(model, int(word), absolute)
    if directions is not None and word in directions.names:
        return lambda point, strength: directions.move(point, word, strength)
    name, equals, value = word.partition("=")
    if equals and name in model.attributes.names:
        return toward(model, name, value)
    if directions is not None:
        directions.directions.index(word)  # raises, with the nearest name
    known = "the number of a component of z" + (", or ATTRIBUTE=VALUE" if model.attributes else "")
    raise UsageError(
        f"unknown axis '{word}': use {known}, or a name in --directions FILE (kaogan explore directions writes one)"
    )
