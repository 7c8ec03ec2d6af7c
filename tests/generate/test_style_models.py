"""Models of style networks: truncation is of the styles, and the same latents give the same pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from kaogan.generate.grids import attribute_strip
from kaogan.generate.model import load
from tests.generate.conftest import tiny_model

STYLED = {"family": "stylegan2", "w_dim": 8, "num_layers": 2, "channel_base": 128, "channel_max": 8}


def test_truncation_is_of_the_styles(tmp_path: Path) -> None:
    model = tiny_model(settings=STYLED)
    with torch.no_grad():
        for _ in range(20):
            conditions = torch.eye(22)[torch.randint(22, (64,))]
            model.generator(torch.randn(64, 6), conditions, update_emas=True)
    assert torch.equal(model.latents(3, truncation=0.5), model.latents(3)), "z is normalised: its length means nothing"
    pictures = {t: model.sample(4, truncation=t, hair="pink", eyes="red").astype(float) for t in (0.0, 0.5, 1.0)}
    assert (pictures[0.0] == pictures[0.0][:1]).all() and not (pictures[1.0] == pictures[1.0][:1]).all()
    spread = {t: float(np.std(p, axis=0).mean()) for t, p in pictures.items()}
    assert 0 == spread[0.0] < spread[0.5] < spread[1.0]
    assert (attribute_strip(model, "hair", truncation=0.5) != attribute_strip(model, "hair")).any()
    again = load(model.save(tmp_path / "model"))
    assert (again.sample(4, truncation=0.5) == model.sample(4, truncation=0.5)).all()
