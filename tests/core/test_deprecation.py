"""Old names of keyword arguments: the same results, with a warning."""

from __future__ import annotations

import pytest
import torch

from kaogan.generate.explore import LatentPoint, between, interpolate, morph, through


def test_an_old_keyword_is_passed_on_with_a_warning() -> None:
    a, b = (LatentPoint(z) for z in torch.eye(2))
    for old, new in (
        (lambda: between(a, b, 0.5, law="linear").z, between(a, b, 0.5, interpolation="linear").z),  # type: ignore[call-arg]
        (lambda: interpolate(a, b, 3, law="linear")[1].z, torch.full((2,), 0.5)),  # type: ignore[call-arg]
        (lambda: morph(a, b, [0.5], law="slerp")[0].z, between(a, b, 0.5).z),  # type: ignore[call-arg]
        (lambda: through([a, b], 2, law="linear")[1].z, torch.full((2,), 0.5)),  # type: ignore[call-arg]
    ):
        with pytest.warns(FutureWarning, match="'law' is now called 'interpolation'"):
            found = old()
        assert torch.equal(found, new)
    assert between.__name__ == "between" and between.__doc__, "help() still shows the function"
