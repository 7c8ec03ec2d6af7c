from __future__ import annotations

import numpy as np
import pytest
import torch

from kaogan.core.errors import KaoganError
from kaogan.metrics import mind as home
from kaogan.metrics.mind import mind, with_interval
from kaogan.metrics.stats.estimate import Estimate, TooFewSamplesError
from tests.metrics.conftest import holds_only_for

Pair = tuple[np.ndarray, np.ndarray]


def slow(x: np.ndarray, y: np.ndarray, directions: int = 1000, seed: int = 2020, **wrong: bool) -> float:
    """The definition, a direction at a time, with knobs to get it wrong."""
    random = torch.Generator().manual_seed(seed)
    size = min(len(x), len(y))
    if wrong.get("first"):
        x, y = x[:size], y[:size]
    x, y = (f[torch.randperm(len(f), generator=random)[:size]] if len(f) > size else f for f in (x, y))
    found = []
    for u in torch.randn(directions, x.shape[1], generator=random).double().numpy():
        unit = u if wrong.get("length") else u / np.sqrt(u @ u)
        along, across = x @ unit, y @ unit
        if not wrong.get("unsorted"):
            along, across = np.sort(along), np.sort(across)
        found.append(np.abs(along - across).mean() ** 2 if wrong.get("one") else np.mean((along - across) ** 2))
    return float((1 if wrong.get("scale") else 3) * x.shape[1] * np.mean(found))


def test_the_golden_value(golden: Pair) -> None:
    """Told by torch-fidelity's source of 2026: its release 0.4 has no MIND yet."""

    def check(distance) -> None:
        assert distance(*golden) == pytest.approx(5.907137, abs=1e-6)

    mistakes = ("first", "length", "unsorted", "one", "scale")
    wrong = {name: lambda x, y, name=name: slow(x, y, **{name: True}) for name in mistakes}
    holds_only_for(mind, wrong | {"seed": lambda x, y: mind(x, y, seed=2021)}, check)
    assert slow(*golden) == pytest.approx(5.907137, abs=1e-6)
    assert with_interval(*golden).value == pytest.approx(mind(*golden), rel=1e-12)


def test_a_shift_has_a_closed_form(golden: Pair) -> None:
    x, shift = golden[0], np.linspace(-1, 1, 16)

    def check(distance) -> None:
        assert distance(x + shift, x) == pytest.approx(3 * (shift @ shift), rel=0.12)  # the chance of the directions
        assert distance(x, x) == 0
        assert distance(x, x + shift) == pytest.approx(distance(x + shift, x), rel=1e-9)
        assert distance(x[::-1] + 2 * shift, x) == pytest.approx(4 * distance(x + shift, x), rel=1e-9)

    holds_only_for(mind, {"unsorted": lambda x, y: slow(x, y, 50, unsorted=True)}, check)


def test_it_sees_what_means_and_covariances_do_not() -> None:
    random = np.random.default_rng(0)
    two = random.choice([-1.0, 1.0], (2000, 3))
    assert mind(two, random.standard_normal((2000, 3))) > 3 * mind(two, random.choice([-1.0, 1.0], (2000, 3)))


def test_blocks_and_type_do_not_matter(golden: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = (f.astype(np.float32) + 1000 for f in golden)
    exact = with_interval(x.astype(np.float64), y.astype(np.float64), 50)
    monkeypatch.setattr(home, "BLOCK", 3000)
    monkeypatch.setattr(home, "ROWS", 77)
    found = with_interval(x, y, 50)
    assert (found.value, found.low, found.high) == pytest.approx((exact.value, exact.low, exact.high), rel=1e-9)


def test_the_interval_covers_the_expectation() -> None:
    random = np.random.default_rng(3)
    samples = [(random.standard_normal((250, 8)) * 1.2 + 0.3, random.standard_normal((300, 8))) for _ in range(40)]
    expectation = np.mean([mind(x, y, 400, seed) for seed, (x, y) in enumerate(samples)])
    spread = np.std([mind(x, y, 100, seed) for seed, (x, y) in enumerate(samples)])

    def check(interval) -> None:
        intervals = [interval(x, y, 100, seed) for seed, (x, y) in enumerate(samples)]
        assert np.mean([i.low <= expectation <= i.high for i in intervals]) >= 0.88
        assert np.mean([i.high - i.low for i in intervals]) < 2 * 1.96 * spread * 1.4

    def of_directions(x: np.ndarray, y: np.ndarray, count: int, seed: int) -> Estimate:
        """As if the directions were all that is random."""
        values = [mind(x, y, 1, seed * 1000 + k) for k in range(20)]
        return Estimate.around(mind(x, y, count, seed), 1.96 * float(np.std(values)) / np.sqrt(count))

    def twice(x: np.ndarray, y: np.ndarray, count: int, seed: int) -> Estimate:
        found = with_interval(x, y, count, seed)
        return Estimate.around(found.value, 2 * (found.high - found.value))

    holds_only_for(with_interval, {"directions alone": of_directions, "twice as wide": twice}, check)


def test_bad_features(golden: Pair) -> None:
    x = golden[0].copy()
    x[5, 5] = np.nan
    with pytest.raises(KaoganError, match="not numbers"):
        mind(x, golden[1])
    with pytest.raises(TooFewSamplesError, match="at least 2"):
        with_interval(golden[0][:1], golden[1])
    with pytest.raises(ValueError, match="different extractors"):
        mind(golden[0][:, :3], golden[1])
