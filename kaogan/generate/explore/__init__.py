"""Exploring a trained model: points, ways between them, directions, and the way back from a picture."""

from __future__ import annotations

from kaogan.generate.explore.attribute_directions import Edits
from kaogan.generate.explore.attribute_edit import edit
from kaogan.generate.explore.directions import Directions, load_directions
from kaogan.generate.explore.edit_axes import component, move_of, toward
from kaogan.generate.explore.find_directions import find_directions
from kaogan.generate.explore.latent_grids import mix, sweep
from kaogan.generate.explore.latent_point import (
    Point,
    iter_render,
    point,
    points,
    render,
    styled,
    with_attributes,
    with_code,
)
from kaogan.generate.explore.morphs import morph, morph_along
from kaogan.generate.explore.paths import between, interpolate, lerp, slerp, through, walk
from kaogan.generate.explore.projection import Projection, project
from kaogan.generate.explore.ranking import Best, best, judge_of

__all__ = [
    "Best",
    "Directions",
    "Edits",
    "Point",
    "Projection",
    "best",
    "between",
    "component",
    "edit",
    "find_directions",
    "interpolate",
    "iter_render",
    "judge_of",
    "lerp",
    "load_directions",
    "mix",
    "morph",
    "morph_along",
    "move_of",
    "point",
    "points",
    "project",
    "render",
    "slerp",
    "styled",
    "sweep",
    "through",
    "toward",
    "walk",
    "with_attributes",
    "with_code",
]
