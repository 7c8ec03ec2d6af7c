"""Exploring a trained model: points, ways between them, directions, and the way back from a picture."""

from __future__ import annotations

from kaogan.latents.choosing import Best, best, judge_of
from kaogan.latents.directions import Directions, load_directions
from kaogan.latents.editing import edit
from kaogan.latents.edits import Edits
from kaogan.latents.finding import find_directions
from kaogan.latents.grids import mix, sweep
from kaogan.latents.morphs import morph, morph_along
from kaogan.latents.moves import component, move_of, toward
from kaogan.latents.paths import between, interpolate, lerp, slerp, through, walk
from kaogan.latents.points import Point, iter_render, point, points, render, styled, with_attributes, with_code
from kaogan.latents.projection import Projection, project

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
