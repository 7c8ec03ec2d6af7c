"""Morphs: two faces blended by given weights, and one face through the values of an attribute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kaogan.core.deprecation import renamed_keyword
from kaogan.core.errors import UsageError
from kaogan.generate.explore.latent_point import MAX_POINTS, LatentPoint, check_count, with_attributes
from kaogan.generate.explore.paths import between, through
from kaogan.generate.model import Model


@renamed_keyword("law", "interpolation")
def morph(a: LatentPoint, b: LatentPoint, weights: Sequence[float], interpolation: str = "linear") -> list[LatentPoint]:
    """(1 - α) a + α b for each α in ``weights``. Raises UsageError if there are none or one is not finite."""
    if not weights:
        raise UsageError("a morph needs weights, such as 0,0.5,1")
    if not np.isfinite(weights).all():
        raise UsageError(f"the weights of a morph must be finite numbers, not {list(weights)}")
    return [between(a, b, float(weight), interpolation) for weight in weights]


def morph_along(
    model: Model, point: LatentPoint, attribute: str, values: Sequence[str] = (), steps: int = 12, loop: bool = False
) -> list[LatentPoint]:
    """One face through ``values`` of an attribute (default: all, in the schema's order), ``steps`` frames each.

    The path starts at the first value and ends at the last. With ``loop`` it returns to the first value, ending one
    step before it. Raises UsageError.
    """
    known = model.attributes[attribute].values
    check_count(steps, "steps")
    stops = [with_attributes(model, point, {attribute: value}) for value in values or known]
    check_count(len(stops), f"values of '{attribute}'", 2)
    check_count(len(stops) * steps, "frames", 2, MAX_POINTS)
    return through([*stops, stops[0]] if loop else stops, steps, closed=loop)
