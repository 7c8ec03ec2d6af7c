"""The pictures of curves and the commands below them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tools.draw_family_curves import PAGES, WIDTH, commands, draw, show


def test_every_picture_has_the_command_that_made_it() -> None:
    found = list(commands())
    assert len(found) == 12 and {path.stem for path in (PAGES / "curves").iterdir()} <= {name for _, name, _ in found}
    for page, name, command in found:
        drawn = (PAGES / "curves" / f"{name}.webp").exists()
        assert drawn == (f"(curves/{name}.webp)\n\n`kaogan {command}`" in page.read_text(encoding="utf-8")), name


def test_a_new_picture_is_put_above_its_command(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n\n`kaogan train dcgan`\n")
    for _ in range(2):
        show(page, "dcgan", "train dcgan")
        picture = "![losses and pictures of a run of dcgan](curves/dcgan.webp)"
        assert page.read_text() == f"a\n\n{picture}\n\n`kaogan train dcgan`\n"


def test_a_picture_shows_losses_and_grids(tmp_path: Path) -> None:
    (tmp_path / "grids").mkdir()
    for clock in (0, 8, 16):
        Image.fromarray(np.full((6, 9, 3), clock, np.uint8)).save(tmp_path / f"grids/{clock:09}.png")
    lines = [{"clock": c, "loss_d": 1.0, "loss_g": 2.0, "real_score": 0.5, "fake_score": 0.5} for c in (8, 16)]
    (tmp_path / "stats.jsonl").write_text("\n".join(map(json.dumps, lines)))
    draw(tmp_path, tmp_path / "a.webp")
    picture = np.asarray(Image.open(tmp_path / "a.webp").convert("RGB"))
    assert picture.shape[1] == WIDTH
    below = picture[round(WIDTH * 700 / 1200) + 20 :]
    assert (below < 60).all(2).mean() > 0.5, "half of the lower part and more is the two dark grids"
