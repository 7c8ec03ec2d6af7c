"""The schema: names and values, conditions and labels, priors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from kaogan.core.errors import UsageError
from kaogan.core.rng import torch_generator
from kaogan.core.schema import EYES, HAIR, UNKNOWN, Attribute, Schema

SCHEMA = Schema(
    (Attribute("hair", ("pink", "blue", "red"), (0.5, 0.5, 0.0)), Attribute("eyes", ("aqua", "black"), (0.25, 0.75)))
)


def test_slices_and_sizes() -> None:
    assert SCHEMA.names == ("hair", "eyes") and SCHEMA.sizes == (3, 2) and SCHEMA.size == 5
    assert SCHEMA.slices == (slice(0, 3), slice(3, 5))
    assert not Schema() and SCHEMA and Schema().slices == () and Schema().size == 0
    assert len(HAIR) == 12 and len(EYES) == 10


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_codes_by_hand(kind: type) -> None:
    conditions = SCHEMA.encode(kind([[0, 1], [2, UNKNOWN], [UNKNOWN, 0], [UNKNOWN, UNKNOWN]]))
    assert conditions.dtype == torch.float32
    assert conditions.tolist() == [[1, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]


def test_of_no_attributes() -> None:
    assert Schema().encode(np.empty((3, 0), np.int64)).shape == (3, 0)
    assert Schema().sample(3, torch_generator(0, "x")).shape == (3, 0)


def test_draws_follow_the_priors() -> None:
    labels = SCHEMA.sample(4000, torch_generator(0, "x"))
    assert labels.shape == (4000, 2) and labels.dtype == torch.int64
    assert torch.bincount(labels[:, 0], minlength=3).float().div(4000).tolist() == pytest.approx(
        [0.5, 0.5, 0], abs=0.03
    )
    assert float((labels[:, 1] == 1).float().mean()) == pytest.approx(0.75, abs=0.03)
    joint = float(((labels[:, 0] == 0) & (labels[:, 1] == 1)).float().mean())
    assert joint == pytest.approx(0.375, abs=0.03), "drawn independently"


def test_draws_can_be_uniform() -> None:
    labels = SCHEMA.sample(4000, torch_generator(0, "x"), uniform=True)
    assert torch.bincount(labels[:, 0], minlength=3).float().div(4000).tolist() == pytest.approx([1 / 3] * 3, abs=0.03)


def test_priors_are_frequencies_of_what_is_known() -> None:
    labels = np.array([[0, UNKNOWN], [0, UNKNOWN], [1, UNKNOWN], [UNKNOWN, UNKNOWN]])
    schema = Schema.from_labels(["a", "b"], [["x", "y", "z"], ["u", "v"]], labels)
    assert schema["a"].priors == pytest.approx((2 / 3, 1 / 3, 0)) and schema["b"].priors == (0.5, 0.5)


def test_json_and_back() -> None:
    assert Schema.from_json(json.loads(json.dumps(SCHEMA.to_json()))) == SCHEMA


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: SCHEMA["hiar"], "unknown attribute 'hiar' (did you mean 'hair'?)"),
        (lambda: SCHEMA["hair"].index("pinq"), "unknown hair 'pinq' (did you mean 'pink'?)"),
        (lambda: SCHEMA["eyes"].index("zzz"), "unknown eyes 'zzz' (choose from aqua, black)"),
        (lambda: Schema()["hair"], "no attribute 'hair': this model was trained without attributes"),
    ],
)
def test_misspelt(ask: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask()  # type: ignore[operator]
    assert str(caught.value) == message
