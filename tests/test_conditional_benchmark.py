"""The benchmark of conditional models: its judge learns from labels alone, and what was asked for is what counts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import conditional
from kaogan.core.schema import Attribute, Schema
from kaogan.data.dataset import PictureSet
from tests.generate.conftest import tiny_model

COLOURS = {"red": (220, 30, 40), "green": (30, 200, 60), "blue": (40, 60, 220)}


@pytest.fixture(scope="module")
def coloured() -> PictureSet:
    """96 noisy squares, labelled with their colour and with their ground, dark or light."""
    random = np.random.default_rng(0)
    labels = np.stack([random.integers(0, 3, 96), random.integers(0, 2, 96)], 1)
    images = random.integers(0, 40, (96, 64, 64, 3)) + 180 * labels[:, 1, None, None, None]
    images[:, 16:48, 16:48] = np.array(list(COLOURS.values()))[labels[:, 0], None, None]
    schema = Schema((
        Attribute("colour", tuple(COLOURS), (1 / 3,) * 3),
        Attribute("ground", ("dark", "light"), (0.5, 0.5)),
    ))  # fmt: skip
    names = [str(number) for number in range(96)]
    return PictureSet(images.clip(0, 255).astype(np.uint8), labels, schema, names, (), (), "here", "0")


def test_the_judge_sees_what_it_was_not_shown(coloured: PictureSet) -> None:
    judge = conditional.train_judge(coloured, np.arange(64), epochs=25)
    found = conditional.seen(judge, coloured.images[64:], coloured.schema.slices)
    assert found.shape == (32, 2)
    assert ((found == coloured.labels[64:]).mean(0) > 0.9).all()


def test_what_was_asked_for_is_told_in_the_sets_own_order(coloured: PictureSet) -> None:
    """The model has the colours in another order, an attribute that the set lacks, and lacks one of the set's."""
    schema = Schema((Attribute("size", ("small", "big"), (0.5, 0.5)), Attribute("colour", ("blue", "red"), (0.0, 1.0))))
    images, wanted = conditional.sampled(tiny_model(schema), 5, coloured)
    assert images.shape == (5, 16, 16, 3)
    assert wanted.tolist() == [[0, -1]] * 5  # red is the set's first; nothing is said of the ground
    assert (conditional.sampled(tiny_model(Schema(())), 3, coloured)[1] == -1).all()


def test_a_share_is_written_with_its_interval() -> None:
    assert conditional.percent(np.array([True] * 9 + [False])).startswith("90.0 % (5")
