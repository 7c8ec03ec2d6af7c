"""Contrast of the pages' colours, whatever the colour of the hair that they are made of."""

from __future__ import annotations

import math
import re

import pytest

from kaogan.studio.app import KIT

PAIRS = [("accent", "card"), ("accent", "wash"), ("accent", "ground"), ("accent", "field"), ("on-accent", "accent"),
         ("soft", "card"), ("soft", "ground"), ("soft", "field"), ("soft", "wash"), ("ink", "field"),
         ("bad", "bad-wash"),
]  # fmt: skip
ENOUGH = 4.5  # WCAG 2.2, 1.4.3


def colours(dark: bool, hue: float, chroma: float) -> dict[str, float]:
    """Luminance of each named colour of the design."""
    found = {}
    for name, light_one, dark_one in re.findall(
        r"--([\w-]+): light-dark\((#fff|oklch\(.*?\)), (oklch\(.*?\))\);", (KIT / "design.css").read_text()
    ):
        value = dark_one if dark else light_one
        if value == "#fff":
            found[name] = 1.0
            continue
        value = value.removeprefix("oklch(").removesuffix(")")
        value = value.replace("var(--hue)", str(hue)).replace("var(--chroma)", str(chroma))
        value = re.sub(r"calc\(([\d.]+) \* ([\d.]+)\)", lambda m: str(float(m[1]) * float(m[2])), value)
        found[name] = luminance(*map(float, value.split()))
    return found


def luminance(lightness: float, chroma: float, hue: float) -> float:
    """Of OKLCH, clipped to sRGB (Ottosson 2020)."""
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    red, green, blue = (min(1.0, max(0.0, value)) for value in linear)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_words_can_be_read_in_the_colour_of_any_hair(dark: bool) -> None:
    for hue in range(0, 360, 10):
        for chroma in (0.03, 0.1, 0.16):  # the bounds of kit/tint.js
            known = colours(dark, hue, chroma)
            for ink, paper in PAIRS:
                high, low = sorted((known[ink], known[paper]), reverse=True)
                assert (high + 0.05) / (low + 0.05) >= ENOUGH, (ink, paper, hue, chroma)


def test_the_luminances_of_known_colours() -> None:
    assert luminance(1, 0, 0) == pytest.approx(1, abs=1e-3) and luminance(0, 0, 0) == 0
    assert luminance(0.62796, 0.25768, 29.234) == pytest.approx(0.2126, abs=2e-3)  # CSS red
