"""Motions: of a generator whose parts are known, of style networks, and their mixtures."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from kaogan.core.errors import UsageError
from kaogan.generate.explore import LatentPoint, point, render
from kaogan.generate.explore import motions as search
from kaogan.generate.explore.motions import Motions, Pose, find_motions, mean_distance, truncated
from kaogan.generate.explore.tagger_features import TaggerFeatures
from kaogan.generate.model import Model
from tests.generate.explore.conftest import FAMILIES

TURN = {"turn": (Pose({"x": 1.0}), Pose({"x": -1.0}))}
STILL = {"blink": (Pose({"still": -1.0}),)}


class Blob(nn.Module):
    """A bright blob on a grey ground: z[0] moves it across, z[1] makes all lighter, the others colour it."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        across = torch.linspace(-1, 1, 16)
        near = (-(((across - 0.3 * z[:, :1]) / 0.3) ** 2)).exp()[:, None, :] * (-((across / 0.4) ** 2)).exp()[:, None]
        colour = 1 + 0.3 * z[:, 2:5, None, None].tanh()
        return (near[:, None] * colour + 0.2 * z[:, 1, None, None, None] - 0.6).clamp(-1, 1)


def measure_blob(images: torch.Tensor) -> dict[str, torch.Tensor]:
    bright = (images.mean(1) - images.mean(1).amin((1, 2), keepdim=True)).clamp(min=0)
    columns = (bright.sum(1) * torch.linspace(0, 1, 16)).sum(1) / bright.sum((1, 2)).clamp(min=1e-6)
    return {"x": columns, "light": images.mean((1, 2, 3)), "still": torch.zeros(len(images))}


@pytest.fixture(autouse=True, scope="module")
def few() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "SAMPLES", 32)
        patch.setattr(search, "COMBINED", 2)
        yield


@pytest.fixture(scope="module")
def blob() -> Model:
    model = FAMILIES["z"]()
    model.generator = Blob()
    return model


@pytest.fixture(scope="module")
def found(blob: Model) -> Motions:
    return find_motions(blob, point(blob, 3), motions=TURN | STILL, measures=measure_blob, steps=20)


def test_the_turn_is_the_component_that_moves_the_blob(blob: Model, found: Motions) -> None:
    right, left = found.offsets["turn"]
    for step, sign in ((right, 1), (left, -1)):
        assert float(sign * step[0] / step.norm()) > 0.9, step
        assert abs(float(step[1])) < 0.2 * abs(float(step[0])), "the lightness is kept"
    assert 0.6 < found.shares["turn"] < 1.2
    before, after = (
        measure_blob(blob.generator(each.z[None])) for each in (found.point, found.move(turn=1.0, blink=1.0))
    )
    assert float(after["x"] - before["x"]) > 0.03


def test_what_a_model_does_not_know_is_left_out(found: Motions) -> None:
    assert "blink" not in found.offsets and found.shares["blink"] == pytest.approx(0, abs=1e-3)
    assert torch.equal(found.move(blink=1.0).z, found.move().z)


def test_only_one_batch_of_pictures_is_kept(blob: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[weakref.ref] = []

    def see(self: search._Search, faces: list[LatentPoint]) -> tuple:
        assert not any(images() is not None for images in drawn)
        images = blob.generator(torch.stack([face.z for face in faces]))
        drawn.append(weakref.ref(images))
        return images, {"x": images.mean((1, 2, 3))}, TaggerFeatures([], torch.eye(len(faces)), {})

    monkeypatch.setattr(search._Search, "_see", see)
    monkeypatch.setattr(blob, "batch_size", 8)
    part = search._Search.__new__(search._Search)
    part.model = blob
    part._measure_faces(with_w=False)
    assert len(drawn) == 4 and part.face_distance == pytest.approx(1 - (8 * 4 * 4 - 32) / (32 * 31))


def test_the_same_search_gives_the_same_motions(blob: Model) -> None:
    one, other = (find_motions(blob, point(blob, 1), motions=TURN, measures=measure_blob, steps=3) for _ in range(2))
    assert one.shares == other.shares
    assert all(
        torch.equal(a, b) for a, b in zip(one.offsets.get("turn", ()), other.offsets.get("turn", ()), strict=True)
    )


def test_a_move_passes_through_the_poses_and_the_face_smoothly(blob: Model) -> None:
    face = point(blob)
    there, back = torch.eye(6)[0], -0.5 * torch.eye(6)[1]
    motions = Motions(face, {"turn": (there, back)}, {"turn": 1.0}, 0.5)
    for amount, offset in ((1.0, there), (-1.0, back), (0.0, torch.zeros(6))):
        assert torch.allclose(motions.move(turn=amount).z, face.z + offset)
    near = [motions.move(turn=amount).z for amount in (-0.01, 0.0, 0.01)]
    assert torch.allclose(near[1] - near[0], near[2] - near[1], atol=3e-4), "no jump of speed at the face"
    kept = Motions(face, {"turn": (there, back)}, {"turn": 1.0}, 0.5, keep_length=True).move(turn=1.0)
    assert float(kept.z.norm()) == pytest.approx(float(face.z.norm()))
    inside = Motions(face, {"turn": (there * 9, back)}, {"turn": 1.0}, 0.5, largest=1.0).move(turn=1.0)
    assert float(inside.z.abs().max()) <= 1


def test_style_networks_move_in_w(style: Model) -> None:
    face = truncated(style, point(style), 0.8)
    found = find_motions(style, face, motions=TURN, measures=measure_blob, steps=20)
    step, back = found.offsets["turn"]
    assert face.w is not None and step.shape == face.w.shape and not torch.equal(step, back)
    pictures = render(style, [found.move(turn=-1.0), found.point, found.move(turn=1.0)])
    left, middle, right = measure_blob(torch.from_numpy(pictures).permute(0, 3, 1, 2).float())["x"]
    assert left < middle < right


def test_truncation_is_that_of_sampling(any_model: Model) -> None:
    face = truncated(any_model, point(any_model, 5), 0.6)
    assert (
        abs(render(any_model, [face]).astype(int) - any_model.sample(1, seed=5, truncation=0.6).astype(int)).max() <= 1
    )


def test_a_picture_without_a_face_is_refused(plain: Model) -> None:
    with pytest.raises(UsageError, match="no face is seen"):
        find_motions(plain, point(plain))


def test_distance_of_pairs() -> None:
    rows = torch.eye(3)[[0, 0, 1]]
    assert mean_distance(rows) == pytest.approx(2 / 3)  # pairs: 0, 1, 1
