"""The look of the avatars: the colours, the parts of DiceBear's "lorelei" that are used, and the eyes drawn for it.

Lorelei (Lisa Wischofsky, CC0 1.0) paints eyes as small black marks. Here they are replaced by eyes with an iris large
enough to have a colour at 64 px, and the hair gets an outline in a darker shade of its own colour.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from dicebear import Avatar, Style

# In the order of kaogan.core.schema.HAIR and EYES (a test holds them together; importing them would import torch).
HAIR_COLOURS = {
    "orange": "#f57f17",
    "white": "#f7f7f5",
    "aqua": "#45dcd0",
    "gray": "#9a9ea6",
    "green": "#37a046",
    "red": "#cf1f2b",
    "purple": "#8a3fc6",
    "pink": "#ff8fc4",
    "blue": "#2c5fdc",
    "black": "#2a2730",
    "brown": "#7a4526",
    "blonde": "#f8d95c",
}
EYE_COLOURS = {
    "black": "#1f1e27",
    "orange": "#f58a14",
    "pink": "#ff6fb5",
    "yellow": "#f7dd1c",
    "aqua": "#25d3d3",
    "purple": "#8f35dd",
    "green": "#25a542",
    "brown": "#955423",
    "red": "#dc1f26",
    "blue": "#2259e6",
}
SKINS = ("#ffeadd", "#ffe0cc", "#fbd3b8", "#efc09c", "#c98f66")
BACKGROUNDS = ("#f1f4fb", "#e3edfb", "#e2f3ec", "#f8efdf", "#fae6ea", "#ece6f7", "#e6eef0", "#f4f0ea")
MOUTHS = (*(f"happy{n:02d}" for n in (1, 2, 3, 4, 5, 6, 8, 10, 13, 14, 18)), "sad03", "sad09")
EYEBROWS = tuple(f"variant{n:02d}" for n in (1, 2, 5, 7, 9, 10, 11, 12))
NOSES = tuple(f"variant{n:02d}" for n in range(1, 7))
HEADS = tuple(f"variant{n:02d}" for n in range(1, 5))
EARRINGS = ("variant02", "variant03")
# Without the bald heads, whose hair has no colour to speak of, and without the fringes that lie over an eye.
HAIRS = tuple(
    f"variant{n:02d}"
    for n in (4, 5, 6, 8, 10, 13, 14, 15, 18, 19, 20, 23, 24, 26, 29, 30, 31, 32, 33, 35, 36, 37, 38, 39, 42, 43, 46)
)
EYE_SHAPES = ("wide", "calm", "keen", "gentle")

_ALWAYS = ("hair", "head", "mouth", "nose", "eyebrows", "eyes")
_OWN_COLOURS = ("blush", "hairLine", "eyesLight", "eyesDark", "lash")

_VIEW = "166 124 672 672"  # x y width height of the canvas of 980 x 980: the face fills the frame
# Centre, half width and half height of the near and the far eye, in the frame of lorelei's eyes.
_NEAR, _FAR = (104, 62, 60, 68), (292, 58, 47, 64)


def svg(parts: Mapping[str, str], hair: str, eyes: str) -> str:
    """The SVG of one avatar. ``parts`` names a choice of each part; ``hair`` and ``eyes`` name colours."""
    hair_colour, eye_colour, skin = HAIR_COLOURS[hair], EYE_COLOURS[eyes], parts["skin"]
    colours = {
        "skin": skin,
        "blush": _mixed(skin, "#f0505a", 0.32),
        "nose": _mixed(skin, "#6a2c20", 0.55),
        "mouth": _mixed(skin, "#701c24", 0.85),
        "outline": "#3b2b33",
        "earrings": "#d8a21c",
        "hair": hair_colour,
        "hairLine": _mixed(hair_colour, "#1c1428", 0.7 if hair == "black" else 0.4),
        "eyebrows": _mixed(hair_colour, "#1c1428", 0.5),
        "eyes": eye_colour,
        "eyesLight": _mixed(eye_colour, "#ffffff", 0.3),
        "eyesDark": _mixed(eye_colour, "#120a1e", 0.45),
        "lash": "#241a24",
    }
    options: dict[str, Any] = {"seed": "", "backgroundColor": [parts["background"]]}
    options |= {f"{name}Color": [value] for name, value in colours.items()}
    options |= {f"{name}Variant": [parts[name]] for name in _ALWAYS}
    if parts["earrings"]:
        options |= {"earringsVariant": [parts["earrings"]], "earringsProbability": 100}
    # Only a picture's frame is not an option: lorelei leaves wide margins.
    return Avatar(_style(), options).to_string().replace('viewBox="0 0 980 980"', f'viewBox="{_VIEW}"', 1)


@lru_cache(maxsize=1)
def _style() -> Style:
    """The definition of lorelei with our eyes, a blush and an outline for the hair."""
    definition: dict[str, Any] = json.loads(files("dicebear_styles").joinpath("lorelei.json").read_text("utf-8"))
    components = definition["components"]
    for name in components.keys() - {*_ALWAYS}:
        components[name]["probability"] = 0  # beards, glasses and the like hide what the labels say
    for name in _OWN_COLOURS:
        definition["colors"][name] = {"values": ["#000000"]}
    components["eyes"]["variants"] = {shape: {"elements": _eyes(shape)} for shape in EYE_SHAPES}
    for variant in components["hair"]["variants"].values():
        for element in variant["elements"]:
            attributes = element.get("attributes", {})
            if element["name"] == "path" and attributes.get("fill") == _colour("hair"):
                attributes |= {"stroke": _colour("hairLine"), "stroke-width": "9", "stroke-linejoin": "round"}
    for variant in components["head"]["variants"].values():
        at = next(i for i, element in enumerate(variant["elements"]) if element["name"] == "eyes")
        variant["elements"][at:at] = [_ellipse(230, 392, 46, 20, "blush"), _ellipse(462, 384, 28, 18, "blush")]
    return Style(definition)


def _eyes(shape: str) -> list[dict[str, Any]]:
    return _eye(shape, *_NEAR, outward=-1) + _eye(shape, *_FAR, outward=1)


def _eye(shape: str, x: float, y: float, a: float, b: float, outward: int) -> list[dict[str, Any]]:
    """White, iris, pupil, glints and upper lash. ``a`` and ``b`` are half the width and height of the opening."""
    lid = {"wide": 1.0, "calm": 0.8, "keen": 0.86, "gentle": 0.92}[shape]  # how far the upper lid is up
    tilt = {"wide": 0.0, "calm": 0.04, "keen": -0.2, "gentle": 0.2}[shape]  # of the outer corner, down is positive
    inner, outer = x - outward * a, x + outward * a
    corner = y + tilt * b  # height of the outer corner
    top = y - lid * b
    opening = (
        f"M{inner:.0f} {y + 6:.0f}C{inner:.0f} {top - 8:.0f} {outer:.0f} {top - 8:.0f} {outer:.0f} {corner:.0f}"
        f"C{outer:.0f} {y + b * 1.22:.0f} {inner:.0f} {y + b * 1.22:.0f} {inner:.0f} {y + 6:.0f}z"
    )
    upper = opening[: opening.index("C", opening.index("C") + 1)]
    wing = f"l{outward * 12:.0f} {tilt * 26 - 8:.0f}"
    width, height = a * 0.78, b * 0.9
    middle = y + 2
    return [
        _path(opening, "white"),
        _ellipse(x, middle, width, height, "eyesDark"),
        _ellipse(x, middle + 4, width - 7, height - 8, "eyes"),
        _ellipse(x, middle + height * 0.5, width * 0.6, height * 0.34, "eyesLight"),
        _ellipse(x, middle - 2, width * 0.36, height * 0.4, "eyesDark"),
        _ellipse(x + width * 0.34, middle - height * 0.42, width * 0.3, height * 0.25, None),
        _path(upper + wing, None, stroke="lash", width=15),
    ]


def _colour(name: str) -> dict[str, str]:
    return {"type": "color", "name": name}


def _ellipse(x: float, y: float, rx: float, ry: float, colour: str | None) -> dict[str, Any]:
    fill: Any = _colour(colour) if colour else "white"
    shape = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "rx": f"{rx:.1f}", "ry": f"{ry:.1f}"}
    return {"type": "element", "name": "ellipse", "attributes": {**shape, "fill": fill}}


def _path(data: str, fill: str | None, stroke: str | None = None, width: int = 0) -> dict[str, Any]:
    attributes: dict[str, Any] = {"d": data, "fill": fill or "none"}
    if stroke:
        attributes |= {"stroke": _colour(stroke), "stroke-width": str(width)}
        attributes |= {"stroke-linecap": "round", "stroke-linejoin": "round"}
    return {"type": "element", "name": "path", "attributes": attributes}


def _mixed(first: str, second: str, share: float) -> str:
    """Two colours "#rrggbb" mixed, ``share`` of the second."""
    pairs = zip(bytes.fromhex(first[1:]), bytes.fromhex(second[1:]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)
