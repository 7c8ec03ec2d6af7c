"""The anomaly penalty: its values, its rise, what it teaches the map with, and where it cannot be had."""

from __future__ import annotations

import pytest
import torch

from kaogan.config import recipes
from kaogan.core.errors import UsageError
from kaogan.losses.extras import EXTRAS, StepContext
from kaogan.losses.extras.anomalies import AnomalyPenalty
from kaogan.training.state import check_networks


def build(**settings: float) -> AnomalyPenalty:
    recipe = recipes.load(
        "kao", {"discriminator.anomaly_map": 8} | {f"extras.anomalies.{key}": value for key, value in settings.items()}
    )
    extra = EXTRAS["anomalies"](recipe.extras.anomalies, recipe)
    assert isinstance(extra, AnomalyPenalty)
    return extra


def context(extra: AnomalyPenalty, images_seen: int = 0) -> StepContext:
    return StepContext(extra.recipe, images_seen, torch.device("cpu"), lambda purpose, count: pytest.fail("a draw"))


@pytest.mark.parametrize(("images_seen", "share"), [(0, None), (100, None), (150, 0.25), (300, 1), (900, 1)])
def test_the_penalty_by_hand_as_it_rises(images_seen: int, share: float | None) -> None:
    """None: the map is not asked for."""
    extra = build(weight=8, start=100, ramp=200)
    logits = torch.tensor([[-3.0, 0.4], [1.5, 2.5]]).view(1, 1, 2, 2)  # relu(logit - 0.5): 0, 0, 1, 2
    now = context(extra, images_seen)
    assert extra.judges_anomalies(now) == (share is not None)
    if share is not None:
        assert float(extra.anomaly_penalty(logits, now)) == pytest.approx(8 * share * 3 / 4)  # type: ignore[arg-type]


def test_a_share_of_the_reals_teaches_the_map() -> None:
    extra = build(weight=1, ratio=0.25)
    real = torch.rand(8, 3, 64, 64)
    spoilt = extra.anomalies(real, context(extra))
    assert spoilt is not None and spoilt.images.shape == (2, 3, 64, 64) and spoilt.masks.shape == (2, 1, 64, 64)
    again, later = extra.anomalies(real, context(extra)), extra.anomalies(real, context(extra, 8))
    assert again is not None and torch.equal(again.images, spoilt.images)
    assert later is not None and not torch.equal(later.images, spoilt.images)


@pytest.mark.parametrize("changed", [{"discriminator.anomaly_map": 0}, {"discriminator.family": "dcgan"}])
def test_a_discriminator_without_a_map_is_named(changed: dict[str, object]) -> None:
    tree = recipes.load("kao", {"discriminator.anomaly_map": 8, "extras.anomalies.weight": 1.0}).to_dict()
    if "discriminator.family" in changed:
        tree["discriminator"] = {"family": "dcgan"}
        changed = {}
    with pytest.raises(UsageError, match=r"set extras\.anomalies\.weight to 0, or .*anomaly_map to 48"):
        check_networks(recipes.resolve(tree, changed, "test"))


def test_generated_pictures_among_the_reals_are_refused() -> None:
    changed = {"discriminator.anomaly_map": 8, "extras.anomalies.weight": 1.0, "extras.apa.p": 0.5}
    with pytest.raises(UsageError, match=r"extras\.apa\.p to 0"):
        check_networks(recipes.load("kao", changed))
