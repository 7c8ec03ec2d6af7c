"""Adaptive pseudo augmentation: which reals give way to what, how p moves, and a step in which it stays 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from kaogan.config import recipes
from kaogan.core.errors import UsageError
from kaogan.losses.extras import EXTRAS
from kaogan.losses.extras.apa import Apa
from kaogan.losses.extras.augment import AugmentPipe
from tests.training.conftest import Bench
from tests.training.tiny import ATTRIBUTES, tiny

Build = Callable[..., Bench]


def build(**settings: Any) -> Apa:
    recipe = tiny(**{f"extras.apa.{key}": value for key, value in settings.items()})
    extra = EXTRAS["apa"](recipe.extras.apa, recipe)
    assert isinstance(extra, Apa)
    return extra


def test_chosen_reals_are_fakes_without_gradient_under_their_labels(bench: Build) -> None:
    trained = bench(tiny(**{"extras.apa.p": 0.5, "attributes": ATTRIBUTES}))
    batch, loss = trained.sampler.at(0), trained.trainer.loss
    real, fakes = loss.show(batch, keep_graph=True)
    chosen = loss.extras["apa"].pseudo_reals(8, loss.context())
    assert chosen is not None and 0 < int(chosen.sum()) < 8
    assert fakes.images.requires_grad and not real.images.requires_grad
    for row in range(8):
        images, labels, source = (fakes.images, fakes.labels, row - 1) if chosen[row] else (*batch, row)
        assert torch.equal(real.images[row], images[source]) and torch.equal(real.labels[row], labels[source])


def test_at_1_no_real_is_left(bench: Build) -> None:
    trained = bench(tiny(**{"extras.apa.p": 1.0}))
    real, fakes = trained.trainer.loss.show(trained.sampler.at(0), keep_graph=False)
    assert torch.equal(real.images, fakes.images.roll(1, 0))


def test_the_share_is_p_and_differs_from_step_to_step(bench: Build) -> None:
    trained = bench(tiny(**{"extras.apa.p": 0.25}))
    apa, chosen = trained.trainer.loss.extras["apa"], []
    for clock in range(0, 8 * 200, 8):
        trained.state.images_seen = clock
        flags = apa.pseudo_reals(8, trained.trainer.loss.context())
        chosen.append(torch.zeros(8, dtype=torch.bool) if flags is None else flags)
    assert float(torch.stack(chosen).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert len({tuple(flags.tolist()) for flags in chosen}) > 50


@pytest.mark.parametrize(
    ("score", "expected"), [(1.0, [0.6, 0.7, 0.8, 0.9, 1.0, 1.0]), (-1.0, [0.4, 0.3, 0.2, 0.1, 0.0, 0.0])]
)
def test_p_moves_towards_its_target_and_stays_a_probability(score: float, expected: list[float]) -> None:
    extra, found = build(p=0.5, target=0.6, every=2, images=160), []
    for step in range(12):
        extra.on_real_scores(torch.full((8,), score))
        extra.adapt(step * 8, 8)
        found.append(extra.adaptive.p)
    assert found[1::2] == pytest.approx(expected)  # two batches of 8 of 160 images at each look
    assert all(0 <= p <= 1 for p in found)


def test_p_stays_without_a_target() -> None:
    extra = build(p=0.5)
    extra.on_real_scores(torch.ones(8))
    extra.adapt(24, 8)
    assert extra.adaptive.p == 0.5


def test_with_equal_settings_p_is_that_of_ada(bench: Build) -> None:
    """As in the paper's program, where one p serves both."""
    settings = {"target": 0.1, "every": 1, "images": 100}
    trained = bench(tiny(**{"extras.augment": {"name": "ada", **settings}, "extras.apa": settings}))
    seen = []
    for _ in range(6):
        trained.step()
        ada, apa = (trained.state.extras[name] for name in ("augment", "apa"))
        assert isinstance(ada, AugmentPipe) and isinstance(apa, Apa)
        assert ada.adaptive.p == apa.adaptive.p
        seen.append(apa.adaptive.p)
    assert max(seen) > 0


@pytest.mark.parametrize("shards", [1, 2])
def test_at_0_a_step_has_the_bits_of_one_without(bench: Build, shards: int) -> None:
    """A target that no mean of signs exceeds keeps p at 0."""
    plain = bench(tiny(**{"training.shards": shards}))
    trained = bench(tiny(**{"training.shards": shards, "extras.apa": {"target": 1.0, "every": 1, "images": 8}}))
    stats, expected = trained.step(3), plain.step(3)
    assert torch.equal(trained.weights(), plain.weights())
    assert stats.pop("apa_p") == 0 and stats == expected


def test_a_run_goes_on_from_its_state(bench: Build) -> None:
    recipe = tiny(**{"extras.apa": {"p": 0.5, "target": 1.0, "every": 2, "images": 80}})
    straight, halfway, resumed = bench(recipe), bench(recipe), bench(recipe)
    straight.step(4)
    halfway.step(1)
    tensors, numbers = halfway.state.state_dict()
    assert numbers["extras"]["apa"]["seen"] == 8  # between two looks
    resumed.state.load_state_dict({name: value.clone() for name, value in tensors.items()}, numbers)
    resumed.step(3)
    assert torch.equal(straight.weights(), resumed.weights())
    expected, found = (each.state.state_dict()[1]["extras"]["apa"] for each in (straight, resumed))
    assert expected == found and 0 < found["p"] < 0.5


def test_off_by_default_and_nonsense_is_refused() -> None:
    assert not build().active and build(target=0.6).active and build(p=0.1).active
    for wrong in ({"p": 1.5}, {"target": -0.1}, {"every": 0}, {"images": 0}):
        with pytest.raises(UsageError, match=rf"extras\.apa\.{next(iter(wrong))}"):
            recipes.load("dcgan", {f"extras.apa.{key}": value for key, value in wrong.items()})


def test_a_new_p_is_taken_and_an_old_one_goes_on(bench: Build) -> None:
    """Where only the target has gone, p stays at what it has become."""
    first = bench(tiny(**{"extras.apa": {"p": 0.5, "target": 1.0, "every": 1, "images": 80}}))
    first.step(2)
    moved = first.state.extras["apa"].adaptive.p  # type: ignore[attr-defined]
    state = first.state.state_dict()[1]["extras"]["apa"]
    assert moved != 0.5
    for settings, expected in (({"p": 0.5}, moved), ({"p": 0.25}, 0.25), ({"p": 0.25, "target": 1.0}, 0.25)):
        extra = build(**settings)
        extra.load_state_dict(state)
        assert extra.adaptive.p == expected
    del state["start"]  # as in checkpoints of earlier releases
    extra.load_state_dict(state)
    assert extra.adaptive.p == moved


def test_an_extra_that_was_off_begins_with_its_p() -> None:
    extra = build(p=0.5)
    extra.load_state_dict(build().state_dict())
    assert extra.adaptive.p == 0.5


def test_a_classifier_does_not_learn_what_fakes_were_asked_for(bench: Build) -> None:
    """Unless ``on_fakes`` wants that: labels of pseudo-reals are unknown to it, and to its accuracy."""
    for on_fakes in (False, True):
        trained = bench(tiny(**{"extras.apa.p": 0.5, "attributes": {**ATTRIBUTES, "on_fakes": on_fakes}}))
        batch, loss = trained.sampler.at(0), trained.trainer.loss
        real, _ = loss.show(batch, keep_graph=False)
        chosen = loss.extras["apa"].pseudo_reals(8, loss.context())
        assert chosen is not None and real.told is not None
        for row in range(8):
            expected = (
                batch.labels[row] if not chosen[row] else real.labels[row] if on_fakes else torch.tensor([-1, -1])
            )
            assert torch.equal(real.told[row], expected)
    stats = bench(tiny(**{"extras.apa.p": 1.0, "attributes": ATTRIBUTES})).step()
    assert stats["attributes_d/hair"] == stats["accuracy"] == 0
