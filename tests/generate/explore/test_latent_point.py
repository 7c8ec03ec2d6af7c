"""Points: those of a seed are the pictures of ``sample``, for every family; attributes change only what they name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kaogan.core.errors import UsageError
from kaogan.generate.explore import LatentPoint, iter_render, point, points, render, with_attributes, with_styles
from kaogan.generate.model import Model


def test_points_render_the_pictures_of_sample(any_model: Model) -> None:
    for truncation in (1.0, 0.7):
        expected = any_model.sample(5, seed=3, truncation=truncation)
        assert (render(any_model, points(any_model, 3, 5), truncation) == expected).all()
        assert (
            render(any_model, [point(any_model, 3, 4), point(any_model, 3, 1)], truncation) == expected[[4, 1]]
        ).all()
    assert not (expected[0] == expected[1]).all(), "the test would not tell pictures apart"
    assert len(render(any_model, [])) == 0


def test_styles_make_the_same_pictures(style: Model) -> None:
    bare = points(style, 0, 3)
    full = with_styles(style, bare)
    assert full[0].w is not None and full[0].w.shape == (style.generator.num_ws, 8)
    assert with_styles(style, full)[0] is full[0]
    for truncation in (1.0, 0.5):
        assert (render(style, full, truncation) == render(style, bare, truncation)).all()
        assert (render(style, [bare[0], full[1]], truncation) == render(style, bare[:2], truncation)).all()
    moved = LatentPoint(full[0].z, full[0].condition, full[0].w + 1)
    assert (render(style, [moved]) != render(style, full[:1])).any(), "w decides, not z"


def test_many_points_come_in_chunks(plain: Model) -> None:
    many = points(plain, 0, 70)
    chunks = list(iter_render(plain, many))
    assert [len(chunk) for chunk in chunks] == [32, 32, 6]
    assert (np.concatenate(chunks) == plain.sample(70)).all()


def test_attributes_change_only_what_they_name(coded: Model) -> None:
    before = point(coded, 1, 2, hair="orange", eyes="red")
    after = with_attributes(coded, before, hair="white")
    assert (render(coded, [after])[0] == coded.sample(3, seed=1, hair="white", eyes="red")[2]).all()
    half = with_attributes(coded, before, hair={"orange": 0.5, "white": 0.5})
    assert torch.equal(half.condition, (before.condition + after.condition) / 2)
    assert with_attributes(coded, before, hair=None) is before


def test_the_code_of_a_style_moves_its_w(style: Model) -> None:
    one, other = point(style, 0, 0, hair="pink", eyes="red"), point(style, 0, 0, hair="blue", eyes="red")
    full, target = with_styles(style, [one, other])
    assert torch.allclose(with_attributes(style, full, hair="blue").w, target.w, atol=1e-6)
    shifted = LatentPoint(full.z, full.condition, full.w + 0.25)
    assert torch.allclose(with_attributes(style, shifted, hair="blue").w, target.w + 0.25, atol=1e-6)


def test_mistakes_are_told(coded: Model, plain: Model) -> None:
    for call, words in [
        (lambda: point(coded, hare="pink"), "unknown attribute 'hare' (did you mean 'hair'?)"),
        (lambda: point(coded, hair="pinc"), "did you mean 'pink'"),
        (lambda: point(plain, hair="pink"), "trained without attributes"),
        (lambda: with_attributes(plain, point(plain), hair="pink"), "trained without attributes"),
        (lambda: points(plain, 0, 0), "must be 1 or more, not 0"),
        (lambda: points(plain, 0, 10**9), "at most 20,000"),
        (lambda: points(plain, 0, 1, -1), "must be 0 or more, not -1"),
        (lambda: render(plain, points(plain), -1), "truncation"),
        (lambda: render(plain, points(plain), float("nan")), "truncation"),
        (lambda: with_styles(plain, points(plain)), "no styles w: its generator is 'dcgan'"),
    ]:
        with pytest.raises(UsageError) as caught:
            call()
        assert words in str(caught.value)
