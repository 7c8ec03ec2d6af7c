"""Failures seen in running statistics: of runs that were made to collapse, and of healthy ones."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from kaogan.config import recipes
from kaogan.training.failure_detector import CHANCE, RunFacts, find_failure, sample_statistics
from tests.training.conftest import Bench, make_pictures
from tests.training.runs import stats_of, train
from tests.training.tiny import tiny
from tools.draw_curves import lines_of

RUNS: dict[str, Any] = json.loads((Path(__file__).parent / "failure_detector.json").read_text(encoding="utf-8"))
PLAIN = RunFacts()
PLANTED = [name for name, run in RUNS.items() if run["failure"]]
HEALTHY = [name for name, run in RUNS.items() if not run["failure"]]


def facts_of(run: dict[str, Any]) -> RunFacts:
    return RunFacts(**{key: tuple(v) if isinstance(v, list) else v for key, v in run["facts"].items()})


def said(run: dict[str, Any]) -> dict[int, str]:
    """Clock -> the name of the failure that is seen there; healthy lines are left out."""
    lines, facts = lines_of(run["lines"]), facts_of(run)
    found = {lines[i]["clock"]: find_failure(lines[: i + 1], facts) for i in range(len(lines))}
    return {clock: failure.name for clock, failure in found.items() if failure}


def test_there_are_enough_of_both() -> None:
    assert len(PLANTED) >= 10 and len(HEALTHY) >= 12
    assert {RUNS[name]["failure"] for name in PLANTED} >= {
        "runaway", "same-pictures", "saturated", "discriminator-blind", "no-variety", "labels-at-chance", "small-set",
    }  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_collapse_is_named_within_3000_images(name: str) -> None:
    found = said(RUNS[name])
    assert min(found) < 3_000 + 64, "the first line at or after 3,000 images is in time"
    assert found[min(found)] == RUNS[name]["failure"]


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_is_left_in_peace(name: str) -> None:
    assert said(RUNS[name]) == {}


def line(clock: int, **numbers: float) -> dict[str, Any]:
    calm = {"loss_d": 1.0, "adversarial_d": 1.0, "adversarial_g": 1.0, "real_score": 0.7, "fake_score": 0.3,
            "real_distance": 0.4, "fake_distance": 0.2, "real_saturated": 0.1, "fake_saturated": 0.1}  # fmt: skip
    return {"clock": clock, **calm, **numbers}


def test_a_generator_that_begins_saturated_is_left_in_peace_while_it_comes_back() -> None:
    def name(before: float, now: float) -> str | None:
        lines = [line(1_000, fake_saturated=before), line(2_000, fake_saturated=now)]
        found = find_failure(lines, PLAIN)
        return found.name if found else None

    assert name(0.7, 0.66) is None and name(0.7, 0.67) == "saturated" == name(0.7, 0.9)


def test_each_sight_at_its_threshold() -> None:
    def name(facts: RunFacts = PLAIN, **numbers: float) -> str | None:
        found = find_failure([line(9_000, **numbers), line(10_000, **numbers)], facts)
        assert found is None or (str(found).count("\n") == 0 and ". Try " in str(found))
        return found.name if found else None

    assert name() is None
    assert find_failure([], RunFacts()) is None
    assert find_failure([{"clock": 5, "eval/fid": 3.0}], RunFacts()) is None
    chance = 2 * math.log(2)
    assert name(adversarial_d=0.0051 * chance) is None and name(adversarial_d=0.0049 * chance) == "discriminator-won"
    assert name(adversarial_d=1.004 * chance) is None and name(adversarial_d=1.006 * chance) == "discriminator-blind"
    soft = RunFacts(labels=(0.9, 0.1))  # its loss cannot fall below twice the entropy of 0.9
    least = -2 * (0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert name(soft, adversarial_d=least + 0.001) == "discriminator-won" and name(soft, adversarial_d=0.75) is None
    half = RunFacts(weight=0.5)
    assert name(half, adversarial_d=0.7) == "discriminator-blind" and name(half, adversarial_d=0.5) is None
    assert name(fake_distance=0.021) is None and name(fake_distance=0.019) == "no-variety"
    assert name(fake_saturated=0.54) is None and name(fake_saturated=0.56) == "saturated"
    assert name(real_distance=0.009, fake_distance=0.2) == "same-pictures"
    assert name(adversarial_g=99.0) is None and name(adversarial_g=-101.0) == "runaway"
    labels = RunFacts(chance={"hair": 2.0, "eyes": 1.0})
    assert name(labels, **{"attributes_d/hair": 1.99, "attributes_d/eyes": 1.0}) == "labels-at-chance"
    assert name(labels, **{"attributes_d/hair": 1.9, "attributes_d/eyes": 1.0}) is None, "one of two is learnt"
    assert name(RunFacts(pictures=999)) == "small-set" and name(RunFacts(pictures=999, augmented=True)) is None


def test_one_line_or_an_early_one_is_no_proof() -> None:
    wrong = {"adversarial_d": 0.0, "fake_distance": 0.0, "fake_saturated": 1.0}
    assert find_failure([line(5_000), line(6_000, **wrong)], RunFacts()) is None
    early = [line(500, fake_distance=0.0), line(1_400, fake_distance=0.0)]
    assert find_failure(early, RunFacts()) is None, "a generator begins with one grey blob"


def test_the_bound_of_a_critic_is_the_diagonal_of_the_pictures() -> None:
    facts = RunFacts("wasserstein", image_size=32)
    bound = 2 * math.sqrt(3) * 32
    assert find_failure([line(5_000, real_score=bound - 1, fake_score=0.0)], facts) is None
    assert find_failure([line(5_000, real_score=bound + 1, fake_score=0.0)], facts)
    free = RunFacts("wasserstein", limited=False)
    grows = [line(1_000, real_score=2.0, fake_score=0.0), line(2_000, real_score=4.0, fake_score=0.0)]
    assert find_failure(grows, free) and not find_failure(grows, RunFacts("wasserstein"))


@pytest.mark.parametrize("objective", CHANCE)
def test_chance_is_the_loss_of_equal_scores(objective: str) -> None:
    from kaogan.losses import OBJECTIVES, discriminator_loss

    scores = torch.zeros(4) if objective != "lsgan" else torch.full((4,), 0.5)
    assert CHANCE[objective] == pytest.approx(
        float(discriminator_loss(OBJECTIVES[objective], scores, scores)), rel=1e-6
    )


def test_facts_of_a_recipe() -> None:
    pictures = make_pictures(labelled=True)
    recipe = recipes.load("acgan", {"objective.real_label": [0.8, 1.0], "objective.label_flip": 0.1})
    facts = RunFacts.of(recipe, pictures)
    assert facts.labels == pytest.approx((0.9 * 0.9 + 0.1 * 0.1, 0.1)) and facts.weight == 0.5
    assert facts.chance["hair"] == pytest.approx(-(0.5 * math.log(0.5) + 2 * 0.25 * math.log(0.25)))
    assert facts.pictures == 24 and not facts.limited and not facts.augmented
    assert (
        RunFacts.of(recipes.load("wgan-gp"), pictures).limited and RunFacts.of(recipes.load("kao"), pictures).augmented
    )
    sigmoid = RunFacts.of(recipes.load("acgan", {"attributes.loss": "sigmoid"}), pictures)
    assert sigmoid.chance["eyes"] == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_distances_and_saturation() -> None:
    black, white = -torch.ones(3, 32, 32), torch.ones(3, 32, 32)
    grey = torch.zeros(3, 32, 32)
    distance, saturated = sample_statistics(torch.stack([black, white, grey]))
    assert float(distance) == 1.0 and float(saturated) == pytest.approx(2 / 3)
    assert [float(v) for v in sample_statistics(grey.expand(40, -1, -1, -1))] == [0.0, 0.0]
    assert float(sample_statistics(grey[None])[0]) == 0.0
    pairs = torch.randn(4, 3, 16, 16).repeat_interleave(2, 0)
    assert float(sample_statistics(pairs)[0]) == 0.0, "two pictures of each: no variety, though they differ"


def test_looking_changes_nothing(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from kaogan.training import failure_detector

    def weights(looking: bool) -> torch.Tensor:
        if not looking:
            monkeypatch.setattr(
                failure_detector, "sample_statistics", lambda images: (torch.zeros(()), torch.zeros(()))
            )
        here: Bench = bench(tiny(**{"training.reuse_fakes": True}))
        here.step(3)
        return here.weights()

    assert torch.equal(weights(True), weights(False))


def test_a_run_warns_in_log_stats_and_result(tmp_path: Path) -> None:
    """24 pictures are few; a resumed run knows at once."""
    told: list[str] = []
    outcome = train(tmp_path / "run", images=88, on_progress=lambda step: told.append(step.warning))
    assert outcome.warning == told[-1] == told[8] and "24 pictures" in outcome.warning and not any(told[:7])
    lines = stats_of(tmp_path / "run")
    assert [each.get("warning") for each in lines] == [None] * 8 + ["small-set"] * 3
    assert lines[-1]["warning_text"] == outcome.warning and "warning_text" not in lines[0]
    assert (tmp_path / "run/log.txt").read_text().count("warning at 72 images: the set has 24 pictures") == 1
    again = train(tmp_path / "run", images=88)
    assert again.warning == outcome.warning
