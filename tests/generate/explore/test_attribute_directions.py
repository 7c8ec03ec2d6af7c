"""The tagger's directions: what is reached, what is kept, and the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from kaogan.aux_models.tagger import load_tagger
from kaogan.core.errors import KaoganError, UsageError
from kaogan.generate.explore import (
    TaggerDirections,
    edit,
    edit_axis,
    find_directions,
    load_directions,
    point,
    render,
    with_attributes,
)
from kaogan.generate.explore import points as points_of
from kaogan.generate.model import Model


def test_a_move_goes_towards_what_an_edit_makes(any_model: Model) -> None:
    found = find_directions(any_model, "tagger")
    assert isinstance(found, TaggerDirections) and len(found) == 22 and found.names[0].startswith("hair=")
    bound = found.bind(any_model)
    (base,) = bound.to_space(points_of(any_model))
    assert (base.w is not None) == any_model.has_style_space
    name = found.names[3]
    assert bound.move(base, name, 0) is base
    end = edit(any_model, base, {"hair": name.partition("=")[2]})
    reached = bound.move(base, name, 1)
    assert torch.allclose(reached.z, end.z, atol=1e-4)
    for part in ("condition", "w"):
        mine, right = getattr(reached, part), getattr(end, part)
        assert mine is right is None or torch.equal(mine, right)
    half, beyond = bound.move(base, name, 0.5), bound.move(base, name, 1.5)
    if base.w is not None:
        assert torch.allclose(half.w, (base.w + end.w) / 2, atol=1e-6)
    elif any_model.config["latent"]["distribution"] == "normal":
        assert all(float(p.z.norm()) == pytest.approx(float(base.z.norm()), rel=1e-4) for p in (half, beyond))
    assert torch.equal(bound.move(base, name, 0.5).z, half.z), "the same again"


def test_the_search_is_made_once_for_each_face(coded: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    searches = []

    def search(model: Model, point: object, wanted: dict[str, str], keep: object) -> object:
        searches.append((wanted, keep))
        return with_attributes(model, point, **wanted)

    monkeypatch.setattr("kaogan.generate.explore.attribute_directions.edit", search)
    monkeypatch.setattr("kaogan.generate.explore.attribute_directions.MAX_CACHED", 2)
    found = find_directions(coded, "tagger", keep=["eyes"]).bind(coded)
    first, second, third = points_of(coded, 0, 3)
    for base in (first, first, second, first, third, first, second):
        found.move(base, "hair=pink", 0.5)
    assert searches == [({"hair": "pink"}, ["eyes"])] * 4, "the second one was forgotten"
    found.move(first, "eyes=red", 1)
    assert searches[-1] == ({"eyes": "red"}, [])
    pink = with_attributes(coded, first, hair="pink")
    assert (render(coded, [found.move(first, "hair=pink", 1)]) == render(coded, [pink])).all()
    assert edit_axis(coded, "hair=pink", found)(first, 1).condition is not None


def test_they_are_kept_in_a_file(tmp_path: Path, coded: Model, style: Model, plain: Model) -> None:
    for model, keep in ((coded, ["eyes"]), (style, None)):
        found = find_directions(model, "tagger", keep=keep or ())
        again = load_directions(found.save(tmp_path / "d.safetensors"))
        assert isinstance(again, TaggerDirections)
        assert (again.names, again.size, again.space) == (found.names, found.size, found.space)
        assert again.keep == found.keep == (("eyes",) if keep else None)
    with pytest.raises(UsageError, match="no styles"):
        again.bind(plain)
    with pytest.raises(UsageError, match="their size is 9, the model's 6"):
        TaggerDirections(("hair=pink",), 9).bind(plain)
    for name, about in {
        "poor": '{"format": 2}',
        "odd": '{"format": 2, "space": "q", "names": [], "keep": null}',
    }.items():
        save_file({"size": torch.tensor(6)}, tmp_path / name, {"kaogan-directions": about})
        with pytest.raises(KaoganError, match=name):
            load_directions(tmp_path / name)


def test_mistakes_are_told(plain: Model, style: Model) -> None:
    for call, words in [
        (lambda: find_directions(plain, "tagger", keep=["eye"]), "did you mean 'eyes'"),
        (lambda: find_directions(plain, "sefa", 2, keep=["eyes"]), "takes no --keep"),
        (lambda: find_directions(style, "tagger", layers="fine"), "the method regression takes them"),
        (
            lambda: find_directions(plain, "tagger").bind(plain).move(point(plain), "hair=blu", 1),
            "did you mean 'hair=blue'",
        ),
    ]:
        with pytest.raises(UsageError) as caught:
            call()
        assert words in str(caught.value)


def test_hair_changes_and_eyes_stay(painted: Model) -> None:
    """In bars of colour, the upper one from one half of z and that of the eyes from the other; faces do better."""
    tagger, found = load_tagger(), find_directions(painted, "tagger").bind(painted)
    drawn = points_of(painted, 3, 6)
    before = tagger.predict(render(painted, drawn))
    likely = tagger.predict(painted.sample(60, seed=1)).best("hair")[0]
    wanted = [next(int(v) for v in likely if v != was) for was in before.best("hair")[0]]
    names = [f"hair={tagger.values['hair'][value]}" for value in wanted]
    after = tagger.predict(render(painted, [found.move(p, name, 1) for p, name in zip(drawn, names, strict=True)]))
    assert (after.best("hair")[0] == np.array(wanted)).mean() >= 0.6
    assert (after.best("eyes")[0] == before.best("eyes")[0]).mean() >= 0.8
