"""Ways between points: exact ends, even steps, loops without a seam."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from kaogan.core.errors import UsageError
from kaogan.generate.explore import between, interpolate, lerp, point, points, render, slerp, walk, with_styles
from kaogan.generate.explore.paths import default_interpolation, pairs, walks
from kaogan.generate.model import Model


def angle(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.double(), b.double()
    return math.acos(min(1.0, float(a @ b / a.norm() / b.norm())))


def test_slerp_is_even_and_ends_where_it_says() -> None:
    a, b = torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    b = 3 * b
    assert torch.equal(slerp(a, b, 0), a) and torch.equal(slerp(a, b, 1), b)
    path = [slerp(a, b, t / 8) for t in range(9)]
    steps = [angle(x, y) for x, y in pairwise(path)]
    assert np.allclose(steps, angle(a, b) / 8, atol=1e-6)
    lengths = np.array([float(x.norm()) for x in path])
    assert np.allclose(np.diff(lengths), (lengths[-1] - lengths[0]) / 8, atol=1e-4)
    middle = (a / a.norm() + b / b.norm()) / 2
    assert angle(path[4], middle) < 1e-6, "half way is between the two"
    assert float(lerp(a, b / 3, 0.5).norm()) < 0.8 * float(slerp(a, b / 3, 0.5).norm())


@pytest.mark.parametrize("b", [[1.0, 0, 0], [1 + 1e-9, 0, 0], [-1.0, 0, 0], [0.0, 0, 0], [-1.0, 1e-12, 0]])
def test_slerp_knows_the_degenerate_cases(b: list[float]) -> None:
    a, other = torch.tensor([1.0, 0, 0]), torch.tensor(b)
    path = torch.stack([slerp(a, other, t / 4) for t in range(5)])
    assert torch.isfinite(path).all()
    if b[0] == -1:
        assert torch.allclose(path.norm(dim=1), torch.ones(5)), "over a third direction, not through 0"


def test_interpolation_has_exact_ends_and_mixes_codes(coded: Model) -> None:
    a, b = point(coded, 0, 0, hair="orange"), point(coded, 0, 1, hair="white")
    path = interpolate(a, b, 5)
    assert path[0] is a and path[-1] is b and len(path) == 5
    assert torch.equal(path[2].condition, (a.condition + b.condition) / 2)
    pictures = render(coded, path)
    assert (pictures[[0, -1]] == coded.sample(2, hair=["orange", "white"])).all()
    assert not torch.equal(path[2].z, interpolate(a, b, 5, "linear")[2].z)


def test_styles_go_straight(style: Model) -> None:
    a, b = with_styles(style, points(style, 0, 2))
    assert torch.allclose(between(a, b, 0.25).w, a.w * 0.75 + b.w * 0.25)
    with pytest.raises(UsageError, match="has none"):
        between(a, point(style), 0.5)


def test_a_loop_has_no_seam(any_model: Model) -> None:
    path = walk(any_model, 5, faces=3, steps=4, loop=True)
    assert len(path) == 12
    z = torch.stack([each.z for each in path])
    assert torch.equal(z[::4], any_model.latents(3, 5)), "it passes its faces"
    moves = (z.roll(-1, 0) - z).norm(dim=1)
    assert torch.allclose(moves[8:], moves[8:].mean().expand(4), rtol=0.2), "last to first is a step like the others"
    assert float(moves.min()) > 0, "no frame is doubled"
    onward = walk(any_model, 5, faces=3, steps=4)
    assert len(onward) == 9 and torch.equal(onward[-1].z, any_model.latents(3, 5)[2])
    assert (render(any_model, onward)[[0, 4, 8]] == any_model.sample(3, seed=5)).all()


def test_the_law_fits_the_latents(coded: Model) -> None:
    from tests.generate.explore.conftest import FAMILIES

    uniform = FAMILIES["uniform"]()
    assert (default_interpolation(coded), default_interpolation(uniform)) == ("slerp", "linear")
    z = torch.stack([each.z for each in walk(uniform, 0, 5, 10)])
    assert float(z.abs().max()) <= 1, "never outside of what the network knows"


def test_several_ways_have_faces_of_their_own(coded: Model) -> None:
    rows = pairs(coded, 2, 3, 1, steps=4, rows=2, hair=["orange", "white"])
    z = coded.latents(7, 2)
    assert torch.equal(rows[0][0].z, z[3]) and torch.equal(rows[0][-1].z, z[1])
    assert torch.equal(rows[1][0].z, z[6]) and torch.equal(rows[1][-1].z, z[4])
    assert rows[1][0].condition[0] == 1 and rows[1][-1].condition[1] == 1
    tiles = walks(coded, 2, faces=2, steps=2, tiles=3, hair="white")
    assert torch.equal(torch.stack([track[0].z for track in tiles]), coded.latents(6, 2)[::2])


def test_mistakes_are_told(plain: Model, coded: Model) -> None:
    a, b = points(plain, 0, 2)
    for call, words in [
        (lambda: interpolate(a, b, 1), "steps must be 2 or more"),
        (lambda: interpolate(a, b, 3, "slurp"), "did you mean 'slerp'"),
        (lambda: walk(plain, faces=1), "faces must be 2 or more"),
        (lambda: walk(plain, steps=0), "steps must be 1 or more"),
        (lambda: walk(plain, faces=1000, steps=1000), "at most 20,000, not 1,000,000"),
        (lambda: walk(plain, space="w"), "has no styles w"),
        (lambda: walk(plain, space="q"), "unknown space"),
        (lambda: pairs(coded, hair=["orange"]), "1 values of 'hair'"),
        (lambda: walk(coded, faces=3, hair=["orange"]), "1 values of 'hair' for 3 pictures"),
        (lambda: walks(plain, tiles=0), "tiles must be 1 or more"),
    ]:
        with pytest.raises(UsageError) as caught:
            call()
        assert words in str(caught.value)
