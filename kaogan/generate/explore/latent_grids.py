"""Grids of latent points: sweeps along two axes, and mixes of row faces with column faces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from kaogan.core.errors import UsageError, nearest
from kaogan.generate.explore.edit_axes import EditAxis
from kaogan.generate.explore.latent_point import LatentPoint, check_count, style_generator, with_condition, with_styles
from kaogan.generate.explore.paths import between, default_interpolation, lerp
from kaogan.generate.model import Model

Mixing = Literal["styles", "attributes", "latents"]
MIXINGS: tuple[Mixing, ...] = ("styles", "attributes", "latents")


def strengths(size: int, span: float) -> list[float]:
    """``size`` equally spaced strengths in [-span, span]; the middle of an odd size is exactly 0. Raises UsageError."""
    check_count(size, "steps of a sweep", maximum=256)
    if not (np.isfinite(span) and span > 0):
        raise UsageError(f"the span of a sweep must be a number above 0, not {span:g}")
    return [span * (2 * step - (size - 1)) / (size - 1) for step in range(size)] if size > 1 else [0.0]


def sweep(
    base: LatentPoint, across: EditAxis, down: EditAxis | None = None, size: int = 11, span: float = 1.0
) -> list[list[LatentPoint]]:
    """A grid of points: ``across`` varies from -span to span within a row, ``down`` from row to row (None: one row).

    The centre of an odd size is ``base`` itself. Raises UsageError.
    """
    steps = strengths(size, span)
    starts = [base] if down is None else [down(base, strength) for strength in steps]
    return [[across(start, strength) for strength in steps] for start in starts]


def mix(
    model: Model, rows: Sequence[LatentPoint], columns: Sequence[LatentPoint], what: str | None = None, *,
    weight: float | None = None, layers: str = "coarse", names: Sequence[str] = (),
) -> list[list[LatentPoint]]:  # fmt: skip
    """Every row face mixed with every column face: ``len(rows)`` lists of ``len(columns)`` points.

    ``what`` is "styles" (the column's styles in ``layers``, see ``layer_range``; StyleGAN models only), "attributes"
    (the column's attributes ``names``, default all), or "latents" (a point between both). The default is the first of
    these that the model supports. ``weight`` is the column's share: 1 by default, 0.5 for latents. Raises UsageError.
    """
    what = what or ("styles" if model.has_style_space else "attributes" if model.attributes else "latents")
    if what not in MIXINGS:
        raise UsageError(f"unknown mixing '{what}'{nearest(what, MIXINGS)}")
    weight = (0.5 if what == "latents" else 1.0) if weight is None else weight
    if not np.isfinite(weight):
        raise UsageError(f"the weight must be a number, not {weight}")
    if what == "styles":
        rows, columns = with_styles(model, rows), with_styles(model, columns)
        taken = layer_range(layers, style_generator(model).num_ws)
        return [[_mix_styles(row, column, taken, weight) for column in columns] for row in rows]
    if what == "attributes":
        parts = _slices(model, names)
        return [[_mix_attributes(model, row, column, parts, weight) for column in columns] for row in rows]
    return [[between(row, column, weight, default_interpolation(model)) for column in columns] for row in rows]


def layer_range(word: str, count: int) -> slice:
    """``coarse``, ``middle`` or ``fine`` (a third of the layers each), ``all``, ``5``, or ``2-5`` (both included).

    Coarse layers control pose and shape, fine ones colours (Karras et al. 2019). Raises UsageError.
    """
    thirds = [round(count * part / 3) for part in range(4)]
    named = {name: slice(*thirds[k : k + 2]) for k, name in enumerate(("coarse", "middle", "fine"))}
    if word in named or word == "all":
        return named.get(word, slice(0, count))
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
    if not match:
        raise UsageError(f"unknown layers '{word}': use coarse, middle, fine, all, or numbers such as 5 or 2-5")
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last < count:
        raise UsageError(f"layers {word} are out of range: this model has the layers 0 to {count - 1}")
    return slice(first, last + 1)


def _mix_styles(row: LatentPoint, column: LatentPoint, layers: slice, weight: float) -> LatentPoint:
    assert row.w is not None and column.w is not None
    w = row.w.clone()
    w[layers] = lerp(row.w[layers], column.w[layers], weight)
    return LatentPoint(row.z, row.condition, w)


def _mix_attributes(
    model: Model, row: LatentPoint, column: LatentPoint, parts: Sequence[slice], weight: float
) -> LatentPoint:
    assert row.condition is not None and column.condition is not None
    condition = row.condition.clone()
    for part in parts:
        condition[part] = lerp(row.condition[part], column.condition[part], weight)
    return with_condition(model, row, condition)


def _slices(model: Model, names: Sequence[str]) -> list[slice]:
    schema = model.attributes
    if not schema:
        raise UsageError("this model was trained without attributes; mix its latents (--what latents)")
    for name in names:
        schema[name]  # raises for an unknown name
    return [part for name, part in zip(schema.names, schema.slices, strict=True) if not names or name in names]
