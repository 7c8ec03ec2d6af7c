"""Models of different ages under each other, the same latents in each, for docs/tutorial/what-to-expect.md.

python -m tools.draw_expectations MODEL... [--out FILE.webp] [--count 24] [--seed 0]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import kaogan
from kaogan.core.images import Pictures, grid
from kaogan.core.picture_files import write_picture
from kaogan.generate.model import Model

ROOT = Path(__file__).resolve().parent.parent
COLUMNS, TITLE = 12, 22  # pictures in a row, px above each model


def sheet(models: list[Model], count: int, seed: int) -> np.ndarray:
    """uint8 (H, W, 3): for each model a title with its age, and ``count`` of its faces."""
    strips: list[Pictures] = []
    for model in models:
        pictures = model.sample(count, seed=seed, keep=1.0)
        faces = grid(np.repeat(pictures, 3, -1) if pictures.shape[-1] == 1 else pictures, COLUMNS)
        strips += [_title(model, faces.shape[1]), faces]
    width = max(strip.shape[1] for strip in strips)
    return np.concatenate([np.pad(s, ((0, 0), (0, width - s.shape[1]), (0, 0)), constant_values=255) for s in strips])


def _title(model: Model, width: int) -> np.ndarray:
    config = model.config
    text = f"{config['recipe']}, {config['clock']:,} images, {config['minutes']:,.0f} minutes"
    strip = Image.new("RGB", (width, TITLE), "white")
    ImageDraw.Draw(strip).text((4, 4), text, "black", ImageFont.load_default(14))
    return np.asarray(strip)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="runs or model folders, the youngest first")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "tutorial" / "what-to-expect.webp")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    models = [kaogan.load(name, "cpu") for name in arguments.models]
    write_picture(sheet(models, arguments.count, arguments.seed), arguments.out)


if __name__ == "__main__":
    main()
