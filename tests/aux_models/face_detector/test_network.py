"""Maps by hand, the folded norms, and a tiny network that learns two pictures by heart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kaogan.aux_models.face_detector.network import CHANNELS, STRIDE, UNIT, FaceNet, decode
from kaogan.core.images import to_float
from kaogan.core.rng import torch_generator
from tools.face_detector.targets import LARGEST, SMALLEST, Marks, encode, fuse, loss


def marks(*faces: tuple[float, float, float], doubtful: bool = False) -> Marks:
    """Faces (centre x, centre y, side) whose eyes are a fifth of the side beside and above the centre."""
    table = np.array(faces, float).reshape(-1, 3)
    x, y, side = table.T
    eyes = np.stack([x - side / 5, y - side / 10, x + side / 5, y - side / 10], 1)
    return Marks(table[:, :2], side, eyes, np.full(len(table), doubtful))


def maps_of(mark: Marks, rows: int = 12, columns: int = 16) -> torch.Tensor:
    """The maps that a perfect network would give."""
    wanted, _ = encode([mark], rows, columns)
    maps = torch.from_numpy(wanted.copy())
    maps[:, 0] = torch.logit(maps[:, 0].clamp(1e-4, 0.99))
    return maps


def test_a_planted_peak_decodes_by_hand() -> None:
    maps = torch.zeros(2, CHANNELS, 6, 7)
    maps[:, 0] = -9
    maps[1, 0, 2, 4] = math.log(0.8 / 0.2)
    maps[1, 1:, 2, 4] = torch.tensor([0.25, -0.5, math.log(1.5), -0.2, -0.1, 0.2, -0.1])
    nothing, faces = decode(maps, 0.5)
    assert not nothing and len(faces) == 1
    face = faces[0]
    x, y, side = (4.5 + 0.25) * STRIDE, (2.5 - 0.5) * STRIDE, 1.5 * UNIT
    assert (*face.centre, face.width, face.height, face.score) == pytest.approx((x, y, side, side, 0.8), rel=1e-5)
    assert face.landmarks is not None
    assert face.landmarks[0] == pytest.approx((x - 0.2 * side, y - 0.1 * side), rel=1e-5)
    assert not decode(maps, 0.81)[1]


def test_only_the_highest_of_neighbouring_cells_counts() -> None:
    maps = torch.full((1, CHANNELS, 5, 9), 0.0)
    maps[:, 0] = -9
    maps[0, 0, 2, 1:4] = torch.tensor([1.0, 2.0, 1.5])
    maps[0, 0, 2, 7] = 0.5
    assert sorted(round(f.x + f.width / 2) for f in decode(maps, 0.5)[0]) == [20, 60]


def test_encode_and_decode_are_inverse() -> None:
    faces = [(30.0, 41.0, 30.0), (90.5, 50.2, 60.0), (64.0, 80.0, 24.5)]
    found = decode(maps_of(marks(*faces)), 0.5)[0]
    back = sorted((*f.centre, f.width) for f in found)
    assert np.allclose(back, sorted(faces), atol=1e-3)
    for face in found:
        assert face.landmarks is not None
        assert face.landmarks[1][0] - face.landmarks[0][0] == pytest.approx(0.4 * face.width, rel=1e-4)


def test_sizes_beyond_the_range_are_not_judged_or_no_faces() -> None:
    for side, judged in ((SMALLEST / 1.2, False), (LARGEST * 1.2, False), (SMALLEST / 2, True), (LARGEST * 2, True)):
        wanted, weights = encode([marks((48, 48, side))], 12, 12)
        assert wanted[0, 0].max() == 0 and weights[0, 1:].max() == 0
        assert bool(weights[0, 0].min() == 1) == judged
    _, weights = encode([marks((48, 48, 40), doubtful=True)], 12, 12)
    assert weights[0, 0].min() == 0 and weights[0, 1].max() == 0


def test_eyes_unknown_have_no_weight() -> None:
    mark = marks((48, 48, 40))
    blind = Marks(mark.centres, mark.sides, np.full((1, 4), np.nan), mark.doubtful)
    for each, most in ((mark, 1.0), (blind, 0.0)):
        wanted, weights = encode([each], 12, 12)
        assert weights[0, 2].max() == most and np.isfinite(wanted).all()


def test_loss_prefers_the_truth() -> None:
    mark = marks((40, 40, 40), (90, 60, 30))
    wanted, weights = (torch.from_numpy(each) for each in encode([mark], 12, 16))
    right, _ = loss(maps_of(mark), wanted, weights)
    for other in (marks((40, 56, 40), (90, 60, 30)), marks((40, 40, 70), (90, 60, 30)), marks((40, 40, 40)), marks()):
        assert loss(maps_of(other), wanted, weights)[0] > right + 0.1


def test_fused_network_is_the_same_function() -> None:
    network = FaceNet((4, 4, 8, 8))
    generator = torch_generator(0, "test")
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.4 + 0.1)
    images = torch.rand(2, 3, 48, 64, generator=generator)
    with torch.no_grad():
        before, after = network.eval()(images), fuse(network)(images)
    assert before.shape == (2, CHANNELS, 6, 8) and before.std() > 0
    assert torch.allclose(before, after, rtol=1e-3)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fuse(network).modules())


def test_a_tiny_network_learns_two_pictures_by_heart() -> None:
    pictures = np.full((2, 64, 96, 3), 90, np.uint8)
    places = [marks((28, 30, 26)), marks((60, 36, 40), (20, 20, 25))]
    for picture, mark in zip(pictures, places, strict=True):
        for (x, y), side in zip(mark.centres, mark.sides, strict=True):
            half = int(side / 2)
            picture[int(y) - half : int(y) + half, int(x) - half : int(x) + half] = (250, 200, 170)
    torch.manual_seed(0)
    network = FaceNet((8, 8, 16, 16))
    images = to_float(pictures)
    wanted, weights = (torch.from_numpy(each) for each in encode(places, 8, 12))
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(120):
        total, _ = loss(network(images), wanted, weights)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    for found, mark in zip(decode(network(images).detach(), 0.5), places, strict=True):
        back = sorted((*face.centre, face.width) for face in found)
        assert np.allclose(back, sorted(zip(*mark.centres.T, mark.sides, strict=True)), atol=4)
