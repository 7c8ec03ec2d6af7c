"""Latent space exploration: points, paths, directions, attribute edits, portraits, projection, and ranking."""

from __future__ import annotations

from kaogan.generate.explore.attribute_directions import TaggerDirections
from kaogan.generate.explore.attribute_edit import edit
from kaogan.generate.explore.direction_methods import find_directions
from kaogan.generate.explore.directions import Directions, load_directions
from kaogan.generate.explore.edit_axes import component, edit_axis, toward
from kaogan.generate.explore.latent_grids import mix, sweep
from kaogan.generate.explore.latent_point import (
    LatentPoint,
    iter_render,
    point,
    points,
    render,
    with_attributes,
    with_condition,
    with_styles,
)
from kaogan.generate.explore.morphs import morph, morph_along
from kaogan.generate.explore.motions import Motions, find_motions
from kaogan.generate.explore.paths import between, interpolate, lerp, slerp, through, walk
from kaogan.generate.explore.portrait import portrait
from kaogan.generate.explore.projection import Projection, project
from kaogan.generate.explore.ranking import Ranking, rank, scorer_for

__all__ = [
    "Directions",
    "LatentPoint",
    "Motions",
    "Projection",
    "Ranking",
    "TaggerDirections",
    "between",
    "component",
    "edit",
    "edit_axis",
    "find_directions",
    "find_motions",
    "interpolate",
    "iter_render",
    "lerp",
    "load_directions",
    "mix",
    "morph",
    "morph_along",
    "point",
    "points",
    "portrait",
    "project",
    "rank",
    "render",
    "scorer_for",
    "slerp",
    "sweep",
    "through",
    "toward",
    "walk",
    "with_attributes",
    "with_condition",
    "with_styles",
]
