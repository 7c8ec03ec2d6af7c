"""Morphs: two faces mixed by given weights (system K), and one face along the values of an attribute (system A)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kaogan.core.errors import UsageError
from kaogan.generate.explore.latent_point import MOST, Point, check_count, with_attributes
from kaogan.generate.explore.paths import between, through
from kaogan.generate.model import Model


def morph(a: Point, b: Point, weights: Sequence[float], law: str = "linear") -> list[Point]:
    """(1 - α) a + α b for each α of ``weights``, 0 and 1 being a and b themselves. Raises UsageError."""
    if not weights:
        raise UsageError("a morph needs weights, as in 0,0.5,1")
    if not np.isfinite(weights).all():
        raise UsageError(f"the weights of a morph must be numbers, not {list(weights)}")
    return [between(a, b, float(weight), law) for weight in weights]


def morph_along(
    model: Model, point: Point, attribute: str, values: Sequence[str] = (), steps: int = 12, loop: bool = False
) -> list[Point]:
    """One face through ``values`` of an attribute (all, in the schema's order), ``steps`` frames from each to the next.

    It begins with the first value and ends with the last; no frame is doubled. With ``loop`` it goes on to the first
    again, and the last point is one step before it. Raises UsageError.
    """
    known = model.attributes[attribute].values
    check_count(steps, "steps")
    stops = [with_attributes(model, point, **{attribute: value}) for value in values or known]
    check_count(len(stops), f"values of '{attribute}'", 2)
    check_count(len(stops) * steps, "frames", 2, MOST)
    return through([*stops, stops[0]] if loop else stops, steps, closed=loop)
