"""Exploring a trained model: points, ways between them, directions, and the way back from a picture."""

from __future__ import annotations

from kaogan.latents.paths import between, interpolate, lerp, slerp, through, walk
from kaogan.latents.points import Point, iter_render, point, points, render, styled, with_attributes, with_code

__all__ = [
    "Point",
    "between",
    "interpolate",
    "iter_render",
    "lerp",
    "point",
    "points",
    "render",
    "slerp",
    "styled",
    "through",
    "walk",
    "with_attributes",
    "with_code",
]
