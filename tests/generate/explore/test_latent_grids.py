"""Sweeps, mixtures and morphs: centres, corners and ends are the pictures that they should be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kaogan.core.errors import UsageError
from kaogan.generate.explore import (
    component,
    edit_axis,
    mix,
    morph,
    morph_along,
    point,
    points,
    render,
    sweep,
    toward,
    with_styles,
)
from kaogan.generate.explore.latent_grids import layer_range, strengths
from kaogan.generate.model import Model


def test_the_centre_of_a_sweep_is_the_plain_sample(any_model: Model) -> None:
    base = point(any_model, 3, 2)
    rows = sweep(base, component(any_model, 0), component(any_model, -1), size=5, span=2)
    assert (render(any_model, [rows[2][2]]) == any_model.sample(3, seed=3)[2:]).all()
    corner, z = rows[0][4].z, base.z
    assert torch.equal(corner[1:-1], z[1:-1]) and (corner[0] - z[0], corner[-1] - z[-1]) == pytest.approx((2, -2))
    assert len(rows) == 5 and all(len(row) == 5 for row in rows)
    assert len(sweep(base, component(any_model, 1), size=4)) == 1


def test_an_absolute_sweep_is_that_of_the_notebook(plain: Model) -> None:
    rows = sweep(point(plain), component(plain, 0, True), component(plain, -1, True), size=11)
    assert [round(float(p.z[0]), 6) for p in rows[3]] == [round(-1 + 0.2 * k, 6) for k in range(11)]
    assert float(rows[3][0].z[-1]) == pytest.approx(-0.4)


def test_strengths_are_symmetric() -> None:
    assert strengths(3, 1.5) == [-1.5, 0.0, 1.5] and strengths(1, 2) == [0.0]
    assert np.allclose(strengths(4, 3), [-3, -1, 1, 3])


def test_a_code_moves_towards_its_value_and_beyond(coded: Model, style: Model) -> None:
    for model in (coded, style):
        base = point(model, 0, 0, hair="orange", eyes="red")
        move = toward(model, "hair", "white")
        expected = model.sample(1, hair="white", eyes="red")
        assert (render(model, [move(base, 1)]) == expected).all()
        assert torch.equal(move(base, 0).condition, base.condition)
        assert move(base, 2).condition[:2].tolist() == [-1, 2] and torch.equal(
            move(base, 2).condition[12:], base.condition[12:]
        )


def test_mixed_attributes(coded: Model) -> None:
    parents = points(coded, 0, 5)
    cells = mix(coded, parents[:2], parents[2:], names=["hair"])
    assert [len(row) for row in cells] == [3, 3]
    child = cells[1][2]
    assert torch.equal(child.z, parents[1].z)
    assert torch.equal(child.condition[:12], parents[4].condition[:12]) and torch.equal(
        child.condition[12:], parents[1].condition[12:]
    )
    half = mix(coded, parents[:1], parents[2:3], "attributes", weight=0.5)[0][0]
    assert torch.equal(half.condition, (parents[0].condition + parents[2].condition) / 2)


def test_mixed_styles(style: Model) -> None:
    parents = points(style, 0, 3)
    row, column = with_styles(style, parents[:2])
    count = style.generator.num_ws
    (child,) = mix(style, parents[:1], parents[1:2], layers="1-2")[0]
    expected = row.w.clone()
    expected[1:3] = column.w[1:3]
    assert torch.allclose(child.w, expected, atol=1e-6)  # a row of a product may round by its place
    parts = [layer_range(name, count) for name in ("coarse", "middle", "fine")]
    assert [k for part in parts for k in range(count)[part]] == list(range(count)), "three parts make a whole"
    (whole,) = mix(style, parents[:1], parents[1:2], layers="all")[0]
    assert (render(style, [whole]) == render(style, parents[1:2])).all()


def test_mixed_latents_are_between(plain: Model) -> None:
    parents = points(plain, 0, 2)
    (child,) = mix(plain, parents[:1], parents[1:])[0]
    distances = [float((child.z / child.z.norm() - p.z / p.z.norm()).norm()) for p in parents]
    assert distances[0] == pytest.approx(distances[1], rel=1e-4)


def test_a_morph_has_its_weights(plain: Model) -> None:
    a, b = points(plain, 0, 2)
    path = morph(a, b, [0, 0.25, 1])
    assert path[0] is a and path[2] is b and torch.allclose(path[1].z, 0.75 * a.z + 0.25 * b.z)


def test_a_morph_reaches_the_last_value_and_doubles_no_frame(coded: Model) -> None:
    base = point(coded, 4, 1, eyes="red")
    path = morph_along(coded, base, "hair", steps=3)
    pictures = render(coded, path)
    assert len(path) == 11 * 3 + 1
    for number, value in enumerate(coded.attributes["hair"].values):
        expected = coded.sample(2, seed=4, hair=value, eyes="red")[1]
        assert (pictures[3 * number] == expected).all(), value
    moves = torch.stack([p.condition for p in path]).diff(dim=0).norm(dim=1)
    assert float(moves.min()) > 0 and torch.allclose(moves, moves[:1])
    loop = morph_along(coded, base, "hair", ["pink", "blue"], steps=2, loop=True)
    assert len(loop) == 4 and torch.equal(loop[1].condition, loop[3].condition), "there and back"


def test_mistakes_are_told(plain: Model, coded: Model, style: Model) -> None:
    a, b = points(plain, 0, 2)
    for call, words in [
        (lambda: sweep(a, component(plain, 0), size=0), "must be 1 or more"),
        (lambda: sweep(a, component(plain, 0), size=10**9), "at most 256"),
        (lambda: sweep(a, component(plain, 0), span=0), "above 0"),
        (lambda: component(plain, 6), "numbered 0 to 5"),
        (lambda: edit_axis(plain, "hair=pink"), "the number of a component of z, or a name"),
        (lambda: edit_axis(coded, "hair=pinc"), "did you mean 'pink'"),
        (lambda: edit_axis(coded, "smile"), "or ATTRIBUTE=VALUE"),
        (lambda: mix(plain, [a], [b], "styles"), "no styles w"),
        (lambda: mix(plain, [a], [b], "attributes"), "mix its latents"),
        (lambda: mix(plain, [a], [b], "stiles"), "did you mean 'styles'"),
        (lambda: mix(plain, [a], [b], weight=float("inf")), "must be a number"),
        (lambda: mix(coded, points(coded), points(coded), names=["hare"]), "did you mean 'hair'"),
        (lambda: layer_range("9-12", 6), "has the layers 0 to 5"),
        (lambda: layer_range("rough", 6), "unknown layers"),
        (lambda: morph(a, b, []), "needs weights"),
        (lambda: morph(a, b, [float("nan")]), "must be finite numbers"),
        (lambda: morph_along(plain, a, "year"), "trained without attributes"),
        (lambda: morph_along(coded, point(coded), "hair", ["pink"]), "must be 2 or more"),
        (lambda: morph_along(coded, point(coded), "hair", steps=0), "must be 1 or more"),
    ]:
        with pytest.raises(UsageError) as caught:
            call()
        assert words in str(caught.value)
