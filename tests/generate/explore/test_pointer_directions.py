"""Directions for all faces: of a generator whose parts are known."""

from __future__ import annotations

import pytest
import torch

from kaogan.core.errors import UsageError
from kaogan.generate.explore import pointer_directions as module
from kaogan.generate.explore.motions import Pose
from kaogan.generate.explore.pointer_directions import REACH, pointer_directions
from kaogan.generate.model import Model
from tests.generate.explore.conftest import FAMILIES
from tests.generate.explore.test_motions import Blob, measure_blob


def measure_both(images: torch.Tensor) -> dict[str, torch.Tensor]:
    turned = measure_blob(images.transpose(2, 3))
    return {**measure_blob(images), "y": turned["x"]}


class Both(Blob):
    """A blob that z[0] moves across and z[5] up."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        line = torch.linspace(-1, 1, 16)
        across, down = ((-(((line - 0.3 * part) / 0.3) ** 2)).exp() for part in (z[:, :1], -z[:, 5:6]))
        colour = 1 + 0.3 * z[:, 2:5, None, None].tanh()
        light = 0.2 * z[:, 1, None, None, None]
        return ((across[:, None, :] * down[:, :, None])[:, None] * colour + light - 0.6).clamp(-1, 1)


def test_they_are_the_components_that_move_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POSES", (Pose({"x": 1.6}), Pose({"y": -1.5})))
    monkeypatch.setattr(module, "FACES", 6)
    model = FAMILIES["z"]()
    model.generator = Both()
    right, up = pointer_directions(model, measures=measure_both, steps=15)
    assert float(right[0] / right.norm()) > 0.9 and float(up[5] / up.norm()) > 0.9
    again = pointer_directions(model, measures=measure_both, steps=15)
    assert torch.equal(again, torch.stack([right, up]))
    with torch.no_grad():
        faces = module.points(model, 0, 64)
        before, after = (measure_both(module._images(model, faces, step))["x"] for step in (None, right))
    spread = float(before.std())
    assert float((after - before).mean()) / spread == pytest.approx(REACH, abs=0.25)


def test_models_that_cannot(plain: Model, style: Model) -> None:
    with pytest.raises(UsageError, match="none are seen"):
        pointer_directions(plain)
    with pytest.raises(UsageError, match="style network"):
        pointer_directions(style)
