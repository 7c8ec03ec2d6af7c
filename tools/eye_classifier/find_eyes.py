"""Boxes of both eyes of every picture of a zip, by the package animeface: a CSV for tools/eye_classifier/train.py.

    python tools/eye_classifier/find_eyes.py SET.zip eyes.csv

Runs in an environment of its own, with animeface 2.0.3 and Pillow 11.3: with Pillow 12 and later animeface finds
nothing, and says nothing.
"""

from __future__ import annotations

import csv
import io
import sys
import zipfile

import numpy as np
from PIL import Image

SIDE = 64  # pictures are shrunk to it; boxes are in its pixels
SCALE, EDGE = 2, 32  # animeface finds faces of about 128 px with a margin around them


def boxes(picture: Image.Image) -> list[float]:
    """x, y, width, height of the eye on the left and of the eye on the right; empty where no face is found."""
    import animeface

    large = np.asarray(picture.resize((SIDE * SCALE, SIDE * SCALE), Image.Resampling.BICUBIC))
    padded = np.pad(large, ((EDGE, EDGE), (EDGE, EDGE), (0, 0)), "edge")
    faces = animeface.detect(Image.fromarray(padded))
    if not faces:
        return []
    face = max(faces, key=lambda found: found.likelihood)
    eyes = sorted((face.left_eye.pos, face.right_eye.pos), key=lambda box: box.x)
    return [v for box in eyes for v in ((box.x - EDGE) / SCALE, (box.y - EDGE) / SCALE,
                                        box.width / SCALE, box.height / SCALE)]  # fmt: skip


def main(source: str, target: str) -> None:
    with zipfile.ZipFile(source) as archive, open(target, "w", newline="", encoding="utf-8") as out:  # noqa: PTH123
        lines = csv.writer(out)
        lines.writerow(["file", "lx", "ly", "lw", "lh", "rx", "ry", "rw", "rh"])
        for name in sorted(archive.namelist()):
            if not name.endswith((".jpg", ".png")):
                continue
            picture = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            if found := boxes(picture):
                lines.writerow([name, *(f"{value:.1f}" for value in found)])


if __name__ == "__main__":
    main(*sys.argv[1:])
