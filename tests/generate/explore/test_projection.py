"""The way back from a picture, and changing what was found: against pictures whose points are known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from kaogan.aux_models.tagger import load_tagger
from kaogan.core.errors import UsageError
from kaogan.core.images import to_float
from kaogan.core.schema import Schema
from kaogan.generate.explore import (
    LatentPoint,
    attribute_edit,
    edit,
    optim_variables,
    point,
    project,
    render,
    with_styles,
)
from kaogan.generate.explore.first_layer import first_map
from kaogan.generate.explore.optim_variables import LatentVariables
from kaogan.generate.explore.projection import PIXEL_WEIGHT, to_model_image
from kaogan.generate.explore.tagger_features import TaggerFeatures, describe_tags, extract
from kaogan.generate.model import Model
from tests.generate.conftest import tiny_model


def test_every_family_comes_nearer(any_model: Model) -> None:
    picture = any_model.sample(40, seed=9)[39]
    found = project(any_model, picture, 12, starts=2, candidates=8, frames=4)
    assert found.film.shape == (4, *picture.shape) and (found.target == picture).all()
    assert (render(any_model, [found.point])[0] == found.film[-1]).all()
    assert (found.point.w is not None) == any_model.has_style_space
    assert found.losses[-1] == found.loss < max(found.losses[0], 1e-3)
    film, wanted = to_float(found.film), to_float(picture[None])
    tagger = load_tagger()
    distances = extract(tagger, film).distance(extract(tagger, wanted)) + PIXEL_WEIGHT * (film - wanted).square().mean(
        (1, 2, 3)
    )
    assert all(float(d) < loss + 0.05 for d, loss in zip(distances, found.losses, strict=True)), "those of the pictures"
    again = project(any_model, picture, 12, starts=2, candidates=8, frames=4)
    assert torch.equal(again.point.z, found.point.z) and (again.film == found.film).all()


def test_a_picture_of_the_seed_is_found_at_once(plain: Model) -> None:
    picture = plain.sample(6, seed=3)[5]
    found = project(plain, picture, 2, seed=3, candidates=6, starts=1, frames=2)
    assert (found.film[0] == picture).all()
    other = project(plain, 255 - picture, 2, seed=3, candidates=6, starts=1, frames=2)
    assert (other.film[0] != picture).any()


def test_a_style_network_can_be_searched_in_z(style: Model) -> None:
    found = project(style, style.sample(1, seed=5)[0], 3, starts=1, candidates=4, frames=2, space="z")
    assert found.point.w is None


def test_the_code_starts_as_what_the_tagger_sees() -> None:
    """Blue hair in the picture: without any step the code is the tagger's opinion."""
    model = tiny_model(size=64)
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:40, :, 2] = 220
    seen = load_tagger().predict(picture[None]).probabilities["hair"][0]
    found = project(model, picture, 1, starts=1, candidates=2, frames=2)
    assert int(found.point.condition[:12].argmax()) == int(seen.argmax())
    assert found.point.condition[:12].sum() == pytest.approx(1, abs=1e-5) and float(found.point.condition.min()) >= 0


def test_variables_are_the_points_they_come_from(any_model: Model) -> None:
    chosen = [point(any_model, 2, k) for k in range(2)]
    for points in [chosen, *([with_styles(any_model, chosen)] if any_model.has_style_space else [])]:
        fixed = LatentVariables(any_model, points, fixed=True)
        assert np.allclose(to_float(render(any_model, points)), fixed.images().detach().clamp(-1, 1), atol=1.01 / 127.5)
        assert torch.equal(fixed.points()[1].z, points[1].z)
        assert fixed.prior_penalty().shape == (2,)


def test_distances_are_zero_only_for_the_same_picture(coded: Model) -> None:
    tagger = load_tagger()
    images = to_float(coded.sample(3))
    sights = extract(tagger, images)
    to_first = sights.distance(extract(tagger, images[:1]))
    assert float(to_first[0]) == pytest.approx(0, abs=1e-5) and float(to_first[1:].min()) > 1e-3
    prediction = tagger.predict(coded.sample(3, seed=0).repeat(4, 1).repeat(4, 2))
    sharp = extract(tagger, to_float(coded.sample(3, seed=0).repeat(4, 1).repeat(4, 2)))
    assert np.allclose(sharp.log_probabilities["hair"].exp(), prediction.probabilities["hair"], atol=1e-3)
    assert describe_tags(tagger, list(coded.sample(2)))[0].startswith("hair ")


def test_pictures_are_made_ready(coded: Model) -> None:
    wide = np.full((20, 40, 3), 255, np.uint8)
    wide[:, 10:30] = (10, 200, 30)
    assert (to_model_image(coded, wide)[2:-2, 2:-2] == (10, 200, 30)).all(), "the centre square"
    grey = tiny_model(Schema(), channels=1)
    assert to_model_image(grey, wide).shape == (16, 16, 1) and to_model_image(coded, wide[..., 0]).shape == (16, 16, 3)


def test_an_edit_reaches_the_value_and_keeps_the_rest(painted: Model) -> None:
    tagger = load_tagger()
    base = point(painted, 0, 0)
    faces = tagger.predict(painted.sample(60, seed=1)).best("hair")[0]
    before = tagger.predict(render(painted, [base]))
    other = next(int(v) for v in faces if v != before.best("hair")[0][0])
    name = tagger.values["hair"][other]
    changed = edit(painted, base, {"hair": name}, steps=80)
    after = tagger.predict(render(painted, [changed]))
    assert after.probabilities["hair"][0, other] > 0.5 > before.probabilities["hair"][0, other]
    assert after.best("eyes")[0][0] == before.best("eyes")[0][0]
    assert float(changed.z.norm()) == pytest.approx(float(base.z.norm()), rel=1e-4)
    free = edit(painted, base, {"hair": name}, keep=[], steps=80)
    kept = int(before.best("eyes")[0][0])
    loss = [tagger.predict(render(painted, [p])).probabilities["eyes"][0, kept] for p in (changed, free)]
    assert loss[0] >= loss[1] - 0.02
    assert edit(painted, base, {"hair": name}, steps=0).z is not None


def test_a_code_is_set_and_other_attributes_are_left(coded: Model, style: Model) -> None:
    for model in (coded, style):
        base = point(model, 0, 0, hair="orange", eyes="red")
        changed = edit(model, base, {"hair": "white"}, steps=2)
        assert changed.condition[:12].argmax() == 1 and torch.equal(changed.condition[12:], base.condition[12:])
    full = with_styles(style, [point(style, 0, 0, hair="orange")])[0]
    assert edit(style, full, {"hair": "white"}, steps=1).w is not None


def test_searches_are_exact_on_the_model_s_device(plain: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their slopes do not come out of Model.run, which sees to it otherwise."""
    entered: list[torch.device] = []

    @contextmanager
    def seen(device: torch.device) -> Iterator[None]:
        entered.append(device)
        yield

    monkeypatch.setattr(optim_variables, "exact", seen)
    edit(plain, point(plain), {"hair": "blue"}, steps=0)
    first_map(plain)
    with pytest.raises(UsageError):
        project(plain, plain.sample(1)[0], 0)
    assert entered == [plain.device] * 3


def test_an_edit_shows_its_pictures_to_the_tagger_where_that_is(coded: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    devices, tagger = [], load_tagger()
    tagger.device = torch.device("meta")  # as if a projection had moved it

    def seen(tagger, images: torch.Tensor) -> TaggerFeatures:
        devices.append(images.device)
        return TaggerFeatures([], torch.empty(0), {name: torch.zeros(1, len(v)) for name, v in tagger.values.items()})

    monkeypatch.setattr(attribute_edit, "extract", seen)
    edit(coded, point(coded), {"hair": "blue"}, steps=2, tagger=tagger)
    assert devices == [tagger.device] * 2


def test_mistakes_are_told(coded: Model, plain: Model) -> None:
    picture = coded.sample(1)[0]
    for call, words in [
        (lambda: project(coded, picture.astype(float)), "uint8 (H, W, 3)"),
        (lambda: project(coded, picture[:, :0]), "not uint8 (16, 0, 3)"),
        (lambda: project(coded, picture, 0), "steps must be 1 or more"),
        (lambda: project(coded, picture, starts=0), "starts must be 1 or more"),
        (lambda: project(coded, picture, starts=9, candidates=8), "candidates must be 9 or more"),
        (lambda: project(coded, picture, space="w"), "no styles w"),
        (lambda: project(coded, picture, space="v"), "unknown space"),
        (lambda: edit(plain, point(plain), {"hare": "blue"}), "did you mean 'hair'"),
        (lambda: edit(plain, point(plain), {"hair": "bleu"}), "did you mean 'blue'"),
        (lambda: edit(plain, point(plain), {"hair": "blue"}, keep=["nose"]), "has no attribute 'nose'"),
        (lambda: edit(plain, LatentPoint(torch.zeros(6)), {"hair": "blue"}, steps=-1), "0 or more"),
    ]:
        with pytest.raises(UsageError) as caught:
            call()
        assert words in str(caught.value)
