"""The pictures of curves and the commands below them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tools.draw_family_curves import PAGES, WIDTH, commands, draw


def test_every_picture_has_the_command_that_made_it() -> None:
    found = dict(commands())
    assert found.keys() == {path.stem for path in (PAGES / "curves").iterdir()}
    for name, command in found.items():
        assert command.split()[:2] == ["train", name]


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
