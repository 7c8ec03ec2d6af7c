"""LeCam regularisation: values by hand, its gradient, its start, its state."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kaogan.config import recipes
from kaogan.core.errors import UsageError
from kaogan.losses.extras import EXTRAS, StepContext
from kaogan.losses.extras.lecam import Lecam


def build(**settings: float) -> Lecam:
    recipe = recipes.load("dcgan", {f"extras.lecam.{key}": value for key, value in settings.items()})
    extra = EXTRAS["lecam"](recipe.extras.lecam, recipe)
    assert isinstance(extra, Lecam)
    return extra


def penalty(extra: Lecam, real: Tensor, fake: Tensor, images_seen: int = 0) -> Tensor | None:
    context = StepContext(extra.recipe, images_seen, torch.device("cpu"), lambda purpose, count: pytest.fail("a draw"))
    return extra.score_loss(real, fake, context)


def test_values_by_hand() -> None:
    extra = build(weight=2, horizon=8)
    # Means 2 and 1: relu(1 - 1)², relu(3 - 1)²; relu(2 - 0)², relu(2 - 2)².
    assert penalty(extra, torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])) == pytest.approx(2 * (4 / 2 + 4 / 2))
    # A batch of 2 in a horizon of 8 is a decay of 0.75, so the means are 0.75 · 2 + 0.25 · 6 = 3 and
    # 0.75 · 1 + 0.25 · 5 = 2: relu(7 - 2)², relu(5 - 2)²; relu(3 - 9)², relu(3 - 1)².
    assert penalty(extra, torch.tensor([7.0, 5.0]), torch.tensor([9.0, 1.0])) == pytest.approx(2 * (34 / 2 + 4 / 2))
    assert {name: float(mean) for name, mean in extra.statistics.items()} == {"real": 3, "fake": 2}


def test_the_default_horizon_is_the_papers_decay_in_batches_of_64() -> None:
    extra = build(weight=1)
    for value in (0.0, 1.0):
        penalty(extra, torch.full((64,), value), torch.full((64,), value))
    assert float(extra.statistics["real"]) == pytest.approx(1 - 0.99)


def test_the_gradient_draws_both_sides_together_and_leaves_the_means_alone() -> None:
    extra = build(weight=1, horizon=8)
    real, fake = torch.tensor([1.0, 3.0], requires_grad=True), torch.tensor([0.0, 2.0], requires_grad=True)
    loss = penalty(extra, real, fake)
    assert loss is not None and not extra.statistics["real"].requires_grad
    down, up = torch.autograd.grad(loss, [real, fake])
    assert down.tolist() == [0, 2] and up.tolist() == [-2, 0]  # 2 · relu(…) / 2 of the values above


def test_each_head_has_its_own_mean() -> None:
    real, fake = torch.tensor([[1.0, 10.0], [3.0, 30.0]]), torch.tensor([[0.0, 0.0], [2.0, 20.0]])
    both, first, second = (build(weight=1) for _ in range(3))
    alone = [penalty(extra, real[:, head], fake[:, head]) for head, extra in enumerate((first, second))]
    assert penalty(both, real, fake) == pytest.approx(sum(map(float, alone)) / 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("before", [1, 2])
def test_heads_that_come_later_begin_with_their_first_batch(before: int) -> None:
    extra = build(weight=1, horizon=8)
    first = torch.zeros(2) if before == 1 else torch.zeros(2, before)  # one head gives (N,)
    penalty(extra, first, first)
    penalty(extra, torch.full((2, 4), 8.0), torch.full((2, 4), 8.0))
    later = [8.0] * (4 - before)
    assert extra.statistics["fake"].tolist() == [0.25 * 8] * before + later == extra.statistics["real"].tolist()
    penalty(extra, first, first)  # and when they are gone again
    assert extra.statistics["fake"].shape == first.mean(0).shape
    assert extra.statistics["fake"].reshape(-1).tolist() == [0.75 * 0.25 * 8] * before


def test_means_run_before_the_penalty_begins() -> None:
    late, early = build(weight=1, start=100), build(weight=1)
    scores = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])
    assert penalty(late, *scores, images_seen=99) is None
    penalty(early, *scores)
    assert late.statistics == early.statistics
    assert penalty(late, *scores, images_seen=100) == penalty(early, *scores)


def test_it_goes_on_from_its_state() -> None:
    batches = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
    straight, halfway, resumed = (build(weight=1, horizon=16) for _ in range(3))
    expected = [penalty(straight, *batch) for batch in batches][-1]
    for batch in batches[:2]:
        penalty(halfway, *batch)
    resumed.load_state_dict(halfway.state_dict())
    found = penalty(resumed, *batches[2])
    assert found is not None and expected is not None and torch.equal(found, expected)


def test_off_by_default_and_nonsense_is_refused() -> None:
    assert not build().active and build(weight=0.1).active
    for wrong in ({"weight": -1}, {"horizon": 0}, {"start": -1}):
        with pytest.raises(UsageError, match=rf"extras\.lecam\.{next(iter(wrong))}"):
            build(**wrong)
