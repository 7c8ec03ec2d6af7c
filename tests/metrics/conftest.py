"""The data of the golden values, and the negative control: a check must fail on a planted wrong version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden() -> tuple[np.ndarray, np.ndarray]:
    """(generated (1000, 16), real (1200, 16)), whose metrics torch-fidelity 0.4 and dgm-eval were made to tell."""
    random = np.random.RandomState(0)
    return random.randn(1000, 16) * 1.2 + 0.3, random.randn(1200, 16)


def holds_only_for(right: Callable[..., Any], wrong: dict[str, Callable[..., Any]], check: Callable[..., None]) -> None:
    """``check`` passes on ``right`` and fails on each of ``wrong``: what a test would not notice, it does not test."""
    check(right)
    for name, planted in wrong.items():
        try:
            check(planted)
        except AssertionError:
            continue
        pytest.fail(f"the test does not notice the planted mistake '{name}'")
