"""Grids of points: the sweep of two axes (system K), and the children of rows and columns of parents."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from kaogan.core.errors import UsageError, nearest
from kaogan.generate.explore.edit_axes import Move
from kaogan.generate.explore.latent_point import Point, check_count, styled, with_code
from kaogan.generate.explore.paths import between, law_of, lerp
from kaogan.generate.model import Model

Mixing = Literal["styles", "attributes", "latents"]
MIXINGS: tuple[Mixing, ...] = ("styles", "attributes", "latents")


def strengths(size: int, span: float) -> list[float]:
    """``size`` even steps over [-span, span]; the middle of an odd number is 0 exactly. Raises UsageError."""
    check_count(size, "steps of a sweep", most=256)
    if not (np.isfinite(span) and span > 0):
        raise UsageError(f"the span of a sweep must be a number above 0, not {span:g}")
    return [span * (2 * step - (size - 1)) / (size - 1) for step in range(size)] if size > 1 else [0.0]


def sweep(base: Point, across: Move, down: Move | None = None, size: int = 11, span: float = 1.0) -> list[list[Point]]:
    """Rows of points: ``across`` from -span to span in each, ``down`` from row to row (one row without it).

    The centre of an odd size is ``base`` itself. Raises UsageError.
    """
    steps = strengths(size, span)
    starts = [base] if down is None else [down(base, strength) for strength in steps]
    return [[across(start, strength) for strength in steps] for start in starts]


def mix(
    model: Model, rows: Sequence[Point], columns: Sequence[Point], what: str | None = None, *,
    weight: float | None = None, layers: str = "coarse", names: Sequence[str] = (),
) -> list[list[Point]]:  # fmt: skip
    """The children of every row with every column, ``len(rows)`` lists of ``len(columns)`` points.

    ``what``: "styles", the row's face with the column's styles in ``layers`` (see ``layer_range``), for style networks;
    "attributes", the row's face with the column's attributes ``names`` (all); "latents", a face between both. By
    default the first of them that the model has. ``weight`` is the column's share, by default all of it, of latents one
    half. Raises UsageError.
    """
    what = what or ("styles" if model.styled else "attributes" if model.attributes else "latents")
    if what not in MIXINGS:
        raise UsageError(f"unknown mixing '{what}'{nearest(what, MIXINGS)}")
    weight = (0.5 if what == "latents" else 1.0) if weight is None else weight
    if not np.isfinite(weight):
        raise UsageError(f"the weight must be a number, not {weight}")
    if what == "styles":
        rows, columns = styled(model, rows), styled(model, columns)
        taken = layer_range(layers, model.generator.num_ws)
        return [[_style_child(row, column, taken, weight) for column in columns] for row in rows]
    if what == "attributes":
        parts = _slices(model, names)
        return [[_code_child(model, row, column, parts, weight) for column in columns] for row in rows]
    return [[between(row, column, weight, law_of(model)) for column in columns] for row in rows]


def layer_range(word: str, count: int) -> slice:
    """``coarse``, ``middle``, ``fine`` (a third of the layers each), ``all``, ``5`` or ``2-5``, both included.

    Coarse layers draw the pose and the shape, fine ones the colours. Raises UsageError.
    """
    thirds = [round(count * part / 3) for part in range(4)]
    named = {name: slice(*thirds[k : k + 2]) for k, name in enumerate(("coarse", "middle", "fine"))}
    if word in named or word == "all":
        return named.get(word, slice(0, count))
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
    if not match:
        raise UsageError(f"unknown layers '{word}': coarse, middle, fine, all, or numbers like 5 or 2-5")
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last < count:
        raise UsageError(f"layers {word}: this network's are numbered 0 to {count - 1}")
    return slice(first, last + 1)


def _style_child(row: Point, column: Point, layers: slice, weight: float) -> Point:
    assert row.w is not None and column.w is not None
    w = row.w.clone()
    w[layers] = lerp(row.w[layers], column.w[layers], weight)
    return Point(row.z, row.code, w)


def _code_child(model: Model, row: Point, column: Point, parts: Sequence[slice], weight: float) -> Point:
    assert row.code is not None and column.code is not None
    code = row.code.clone()
    for part in parts:
        code[part] = lerp(row.code[part], column.code[part], weight)
    return with_code(model, row, code)


def _slices(model: Model, names: Sequence[str]) -> list[slice]:
    schema = model.attributes
    if not schema:
        raise UsageError("this model was trained without attributes: there are none to mix; mix its latents")
    for name in names:
        schema[name]
    return [part for name, part in zip(schema.names, schema.slices, strict=True) if not names or name in names]
