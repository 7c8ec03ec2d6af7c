"""The picture of the rooms, docs/explanation/rooms.svg, from the layers in pyproject.toml and the rooms' docstrings.

python -m tools.draw_architecture            write the picture
"""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "explanation" / "rooms.svg"
WIDTH, MARGIN, GAP, LINE = 1120, 24, 14, 17
COLOURS = ("#5b7fd1", "#5b7fd1", "#b0578d", "#3d8f7d", "#c07a2c", "#7a63b8", "#5f6b7a")
FONT = "font-family='system-ui, sans-serif'"


def layers() -> list[list[str]]:
    """The rooms by layer, the topmost first; plain modules and what is there only for import-linter left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(c for c in project["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    rows = [re.findall(r"\w+", layer) for layer in contract["layers"]]
    return [found for row in rows if (found := [name for name in row if (ROOT / "kaogan" / name).is_dir()])]


def purpose(room: str) -> str:
    """The first sentence of a room's docstring, without the room's own name in front of it."""
    module = ast.parse((ROOT / "kaogan" / room / "__init__.py").read_text(encoding="utf-8"))
    first = (ast.get_docstring(module) or "").split("\n\n")[0].replace("\n", " ").replace("``", "")
    sentence = re.split(r"(?<=\.)\s", first.removeprefix(f"kaogan {room}: "))[0]
    return sentence[:1].upper() + sentence[1:]


def picture() -> str:
    """The SVG: one row a layer, an arrow down between two rows."""
    parts, top = [], MARGIN + 34
    rows = layers()
    for number, row in enumerate(rows):
        width = (WIDTH - 2 * MARGIN - GAP * (len(row) - 1)) / len(row)
        texts = [textwrap.wrap(purpose(room), max(20, int((width - 24) / 6.6))) for room in row]
        height = 38 + LINE * max(map(len, texts))
        colour = COLOURS[number % len(COLOURS)]
        for place, (room, lines) in enumerate(zip(row, texts, strict=True)):
            left = MARGIN + place * (width + GAP)
            parts.append(
                f"<rect x='{left:.1f}' y='{top}' width='{width:.1f}' height='{height}' rx='8' fill='{colour}' "
                f"fill-opacity='0.12' stroke='{colour}'/>"
                f"<text x='{left + 12:.1f}' y='{top + 23}' {FONT} font-size='15' font-weight='600' fill='#1d2430'>"
                f"{escape(room)}</text>"
            )
            parts += [
                f"<text x='{left + 12:.1f}' y='{top + 43 + LINE * i}' {FONT} font-size='12.5' fill='#3a4454'>"
                f"{escape(line)}</text>"
                for i, line in enumerate(lines)
            ]
        top += height
        if number < len(rows) - 1:
            middle = WIDTH / 2
            parts.append(
                f"<path d='M{middle} {top + 4}v16m-6 -7l6 7l6 -7' fill='none' stroke='#6b7686' stroke-width='1.6'/>"
            )
            top += 26
    height = top + MARGIN
    title = "Rooms of the package kaogan. Imports point downwards only; rooms of one row may import each other."
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' role='img' aria-label='{title}'>\n"
        f"<rect width='{WIDTH}' height='{height}' rx='12' fill='#fbfcfe'/>\n"
        f"<text x='{MARGIN}' y='{MARGIN + 14}' {FONT} font-size='13' fill='#3a4454'>{title}</text>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
