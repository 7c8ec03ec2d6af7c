"""A step of several shards: what each contributes, and what is averaged over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from kaogan.config import recipes
from kaogan.core.checkpoint import optimizer_tensors
from kaogan.core.distributed import Processes
from kaogan.core.errors import UsageError
from kaogan.training.shards import Shards
from tests.small import small
from tests.training.conftest import Bench
from tests.training.tiny import EXTRAS, tiny

Build = Callable[..., Bench]


def gradients(trained: Bench, network: str) -> list[Tensor]:
    return [p.grad.clone() for p in getattr(trained.state, network).parameters() if p.grad is not None]


def alone(bench: Build, shard: int, of: Bench, **settings: Any) -> Bench:
    """A training whose whole batch is one shard of another's, with that shard's draws."""
    made = bench(tiny(**settings, **{"training.batch_size": 4}))
    made.trainer.shards.purpose = lambda purpose: f"{purpose}/shard/{shard}"  # type: ignore[method-assign]
    batch = of.sampler.at(0, shard, 2)
    reuse = made.recipe.training.reuse_fakes
    fakes = made.trainer.discriminator_step([batch], reuse)
    made.trainer.generator_step([batch], fakes if reuse else None)
    return made


@pytest.mark.parametrize("reuse", [False, True])
def test_gradients_and_statistics_are_the_means_of_the_shards(bench: Build, reuse: bool) -> None:
    settings = {"optim": {"name": "sgd", "lr": 1e-12}, "training.reuse_fakes": reuse, "penalties.r1.weight": 1.0}
    both = bench(tiny(**settings, **{"training.shards": 2}))
    before = both.state.statistics()
    taken = both.step()
    parts = [alone(bench, shard, both, **settings) for shard in range(2)]
    for network in ("discriminator", "generator"):
        expected = [(a + b) / 2 for a, b in zip(*(gradients(part, network) for part in parts), strict=True)]
        assert expected and all(map(torch.equal, gradients(both, network), expected))
    own = [part.state.statistics() for part in parts]
    for name, value in both.state.statistics().items():
        if value.is_floating_point():  # the generator's move once in each half of the step
            torch.testing.assert_close(value, (own[0][name] + own[1][name]) / 2, rtol=1e-5, atol=1e-6)
        assert torch.equal(value, before[name]) == (not name.startswith(("generator/", "discriminator/"))), name
    losses = [part.trainer.meters.take()["loss_d"] for part in parts]
    assert taken["loss_d"] == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_shards_draw_their_own_and_see_their_part_of_the_batch(bench: Build) -> None:
    trained = bench(tiny(**{"training.shards": 4, "data.horizontal_flip": False}))
    whole = trained.sampler.at(16).images
    assert torch.equal(torch.cat([trained.sampler.at(16, shard, 4).images for shard in range(4)]), whole)
    drawn = [trained.trainer.loss.draw_inputs("test", 2)[0] for _ in trained.trainer.shards.each(range(4))]
    assert len({tuple(latents.flatten().tolist()) for latents in drawn}) == 4
    assert not any(torch.equal(trained.trainer.loss.draw_inputs("test", 2)[0], latents) for latents in drawn)


def test_what_no_shard_moves_keeps_its_bits(bench: Build) -> None:
    """Filters and stored noise are buffers, too; three times a number is rounded."""
    trained = bench(small("stylegan2-64", **{"training.batch_size": 6, "training.shards": 3}))
    before = {name: value.clone() for name, value in trained.state.statistics().items()}
    trained.step(2)
    after = trained.state.statistics()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved == {"generator/mapping.w_avg", "path_mean"} | {n for n in moved if n.startswith("extras/augment")}


def test_ada_counts_the_signs_of_all_shards(bench: Build) -> None:
    seen: list[Tensor] = []
    trained = bench(small("stylegan2-64", **{"training.shards": 4, "extras.augment.every": 100}))
    augment = trained.state.extras["augment"]
    noted = augment.on_real_scores
    augment.on_real_scores = lambda scores: (seen.append(scores), noted(scores))[1]  # type: ignore[method-assign]
    trained.step()
    state, scores = augment.state_dict(), torch.cat(seen)
    assert state["signs"] / state["seen"] == pytest.approx(float(scores.detach().sign().mean()))


def test_a_statistic_that_grows_begins_anew(bench: Build) -> None:
    """Lecam's means, when heads on crops come in the middle of a run."""
    trained = bench(tiny(**{"extras.lecam.weight": 0.1, "training.shards": 2}))
    shards, lecam = trained.trainer.shards, trained.state.extras["lecam"]
    lecam.statistics = {"real": torch.tensor([5.0, 5.0])}
    for number in shards.each([1.0, 3.0]):
        lecam.statistics["real"] = torch.full((4,), number)
    shards.merge()
    assert lecam.statistics["real"].tolist() == [2.0] * 4


def test_old_fakes_are_offered_by_all_shards(bench: Build) -> None:
    settings = {"fraction": 1.0, "start": 8, "lead": 8, "every": 8}
    trained = bench(tiny(**{"extras.replay": settings, "training.shards": 4}))
    trained.step()
    assert len(trained.state.extras["replay"].buffer) == 8
    trained.step()
    assert len(trained.state.extras["replay"].buffer) == 16


@pytest.mark.parametrize("extra", EXTRAS, ids=[str(n) for n in range(len(EXTRAS))])
def test_a_sharded_run_goes_on_from_its_state(bench: Build, extra: dict[str, Any]) -> None:
    recipe = tiny(**(extra | {"training.shards": 2}))
    straight, halfway, resumed = bench(recipe), bench(recipe), bench(recipe)
    straight.step(3)
    halfway.step(1)
    tensors, numbers = halfway.state.state_dict()
    resumed.state.load_state_dict({name: value.clone() for name, value in tensors.items()}, numbers)
    resumed.step(2)
    expected, found = straight.state.state_dict(), resumed.state.state_dict()
    assert all(torch.equal(value, found[0][name]) for name, value in expected[0].items())
    assert expected[1]["extras"] == found[1]["extras"]


def test_weights_without_a_gradient_are_left_alone(bench: Build) -> None:
    """An optimiser must not move what a penalty's own step does not reach, as with one shard."""
    settings = {"penalties.r1.weight": 1.0, "penalties.separate_step": True, "attributes.names": ["hair", "eyes"]}
    steps = []
    for shards in (1, 2):
        trained = bench(tiny(**settings, **{"training.shards": shards}))
        trained.step()
        state = optimizer_tensors("d", trained.state.discriminator, trained.state.discriminator_optim)
        steps.append({name: float(value) for name, value in state.items() if name.endswith("/step")})
    assert steps[0] == steps[1] and len(set(steps[0].values())) == 2


def test_shards_must_divide_the_batch_and_be_shared_out(bench: Build) -> None:
    with pytest.raises(UsageError, match="shards must divide the batch_size evenly, but 64 / 3 does not"):
        recipes.load("dcgan", {"training.shards": 3})
    state = bench(tiny()).state
    for count, processes in ((4, 3), (1, 2), (2, 4)):
        with pytest.raises(UsageError, match=f"training.shards is {count}, which {processes} processes cannot share"):
            Shards(count, state, Processes(0, processes))
