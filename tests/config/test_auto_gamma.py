"""``auto`` for the weights of r1 and r2."""

from __future__ import annotations

from typing import Any

import pytest

from kaogan.config import recipes
from kaogan.core.errors import UsageError


@pytest.mark.parametrize(
    ("name", "overrides", "gamma"),
    [
        ("stylegan2", {}, 0.0256),  # the numbers that the recipes had before they said auto
        ("stylegan3-t", {}, 0.125),
        ("stylegan3-r", {}, 0.125),
        ("stylegan3-t-64", {}, 0.5),
        ("stylegan3-r-64", {}, 0.5),
        ("r3gan", {}, 2.0),
        ("r3gan-64", {}, 2.0),
        ("stylegan2", {"image_size": 1024, "batch_size": 4}, 52.4288),  # ADA's rule on one card
        ("stylegan2-128", {}, 0.1024),
        ("stylegan2-256", {}, 0.8192),
        ("stylegan3-t-256", {}, 2.0),  # published
        ("stylegan3-t", {"image_size": 1024}, 32.0),
        ("r3gan-256", {}, 150.0),  # published
        ("dcgan", {"penalties.r1.weight": "auto", "batch_size": 32}, 0.0256),
        ("stylegan2", {"penalties.r1.weight": 3.0}, 3.0),
    ],
)
def test_gamma_follows_size_and_batch(name: str, overrides: dict[str, Any], gamma: float) -> None:
    penalties = recipes.load(name, overrides).penalties
    assert penalties.r1.weight == pytest.approx(gamma, rel=1e-12)
    if "r3gan" in name:
        assert penalties.r2.weight == penalties.r1.weight
    elif not overrides and "-64" in name:
        assert penalties.r1.weight == gamma, "bit for bit"


def test_auto_is_the_only_word_for_gamma() -> None:
    with pytest.raises(UsageError, match=r"penalties\.r1\.weight.*not 'automatic'"):
        recipes.load("dcgan", {"penalties.r1.weight": "automatic"})
    with pytest.raises(UsageError, match=r"image_size.*not 'big'"):
        recipes.load("stylegan2", {"image_size": "big"})


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"objective": "hinge", "penalties.r1.weight": "auto"}, "'objective' is a group of settings"),
        ({"training": 5, "penalties.r2.weight": "auto"}, "'training' is a group of settings"),
        ({"batch_size": 0, "penalties.r1.weight": "auto"}, r"'training\.batch_size': .*, not 0"),
    ],
)
def test_mistakes_that_auto_depends_on_have_their_own_messages(overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        recipes.load("dcgan", overrides)
    assert "\n" not in str(caught.value)
