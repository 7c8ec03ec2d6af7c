from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from kaogan.core.errors import KaoganError
from kaogan.metrics import kid as kernel
from kaogan.metrics.kid import kernel_distance, kid_by_subsets, squared_mmd
from kaogan.metrics.stats.estimate import Estimate, TooFewSamplesError
from tests.metrics.conftest import holds_only_for

Pair = tuple[np.ndarray, np.ndarray]


def slow(x: np.ndarray, y: np.ndarray, biased: bool = False, degree: int = 3, scaled: bool = True) -> float:
    """The definition, pair by pair, with knobs to get it wrong."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (float(a @ b) / (len(a) if scaled else 1) + 1) ** degree

    def within(points: np.ndarray) -> float:
        pairs = [k(a, b) for i, a in enumerate(points) for j, b in enumerate(points) if biased or i != j]
        return sum(pairs) / len(pairs)

    return within(x) + within(y) - 2 * sum(k(a, b) for a in x for b in y) / (len(x) * len(y))


WRONG = {
    "biased": lambda x, y: slow(x, y, biased=True),
    "degree 2": lambda x, y: slow(x, y, degree=2),
    "not divided by the dimension": lambda x, y: slow(x, y, scaled=False),
}


def test_the_golden_values(golden: Pair) -> None:
    x, y = golden

    def check(mmd) -> None:
        assert mmd(x, y[:1000]) == pytest.approx(0.34734247301366, rel=1e-12)

    def quick_biased(x: np.ndarray, y: np.ndarray) -> float:
        return squared_mmd(x, y) + np.trace(kernel.polynomial(x, x)) / len(x) ** 2

    holds_only_for(squared_mmd, {"biased": quick_biased}, check)
    mean, spread = kid_by_subsets(x, y, 100, 500, seed=2020)
    assert mean == pytest.approx(0.353765563, abs=5e-10) and spread == pytest.approx(0.030527538, abs=5e-10)
    assert kid_by_subsets(x, y, 100, 500, seed=2021)[0] != pytest.approx(0.353765563, abs=1e-6)


def test_against_the_definition(golden: Pair) -> None:
    x, y = golden[0][:13], golden[1][:9]

    def check(mmd) -> None:
        assert mmd(x, y) == pytest.approx(slow(x, y), rel=1e-12)
        assert mmd(x, y) == pytest.approx(mmd(y, x), rel=1e-12)

    holds_only_for(squared_mmd, WRONG, check)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_agrees_with_torch_fidelity_on_the_same_subsets(golden: Pair, dtype: type) -> None:
    x, y = (f.astype(dtype) for f in golden)
    settings = {"kid_subsets": 20, "kid_subset_size": 300, "rng_seed": 7, "verbose": False, "kid_kernel": "poly"}
    theirs = kid_features_to_metric(torch.from_numpy(x).double(), torch.from_numpy(y).double(), **settings)

    def check(kid) -> None:
        mean, spread = kid(x, y, 20, 300, 7)
        assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], abs=1e-6)
        assert spread == pytest.approx(theirs["kernel_inception_distance_std"], abs=1e-6)

    holds_only_for(
        kid_by_subsets,
        {
            "sides in the other order": lambda x, y, *rest: kid_by_subsets(y, x, *rest),
            "another seed": lambda x, y, n, size, seed: kid_by_subsets(x, y, n, size, seed + 1),
        },
        check,
    )


def test_expectation_does_not_depend_on_the_number_of_pictures() -> None:
    """Equal distributions give 0 on average, however few the pictures."""
    random = np.random.default_rng(0)
    samples = [random.standard_normal((2, n, 5)) for n in (8, 20, 50) for _ in range(120)]

    def check(mmd) -> None:
        values = np.array([mmd(x, y) for x, y in samples])
        assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))

    def biased(x: np.ndarray, y: np.ndarray) -> float:
        return float(
            kernel.polynomial(x, x).mean() + kernel.polynomial(y, y).mean() - 2 * kernel.polynomial(x, y).mean()
        )

    holds_only_for(squared_mmd, {"biased": biased}, check)


def test_the_interval_of_blocks_covers_the_expectation() -> None:
    random = np.random.default_rng(4)
    samples = [(random.standard_normal((200, 6)) + 0.3, random.standard_normal((260, 6))) for _ in range(80)]
    expectation = np.mean([squared_mmd(x, y) for x, y in samples])
    spread = np.std([squared_mmd(x, y) for x, y in samples])

    def check(distance) -> None:
        intervals = [distance(x, y) for x, y in samples]
        assert np.mean([i.low <= expectation <= i.high for i in intervals]) >= 0.88
        assert np.mean([i.high - i.low for i in intervals]) < 2 * 2.26 * spread * 1.4

    def of_subsets(x: np.ndarray, y: np.ndarray) -> Estimate:
        """The mean's error as if a hundred overlapping subsets were independent."""
        mean, std = kid_by_subsets(x, y, 100, 100)
        return Estimate.around(mean, 1.96 * std / np.sqrt(100))

    def deviation_of_subsets(x: np.ndarray, y: np.ndarray) -> Estimate:
        mean, std = kid_by_subsets(x, y, 30, 20)
        return Estimate.around(mean, 1.96 * std)

    holds_only_for(kernel_distance, {"overlapping": of_subsets, "deviation": deviation_of_subsets}, check)


def test_every_picture_is_used_and_the_order_hardly_matters(golden: Pair) -> None:
    x, y = golden
    value = kernel_distance(x, y)
    assert value.low < squared_mmd(x, y) < value.high
    for row in (0, 499, 999):
        moved = x.copy()
        moved[row] += 50
        assert kernel_distance(moved, y).value > value.value + 1
    assert kernel_distance(x.copy(), y) == value
    assert kernel_distance(x, y, seed=1) != value


def test_bad_features(golden: Pair) -> None:
    x = golden[0].copy()
    x[5, 5] = np.nan
    with pytest.raises(KaoganError, match="not numbers"):
        kernel_distance(x, golden[1])
    with pytest.raises(TooFewSamplesError, match="at least 20"):
        kernel_distance(golden[0][:19], golden[1])
    with pytest.raises(TooFewSamplesError, match="subsets of 1000"):
        kid_by_subsets(golden[0][:500], golden[1])


def test_against_a_few_real_pictures() -> None:
    """Every block meets all of them: the same expectation, and an interval from the generated pictures alone."""
    random = np.random.default_rng(5)
    x, y = random.normal(size=(400, 8)), random.normal(1.0, size=(3, 8))
    found = kernel.kernel_distance_to_few(x, y)
    assert found.low < squared_mmd(x, y) < found.high and found.value == pytest.approx(squared_mmd(x, y), rel=0.05)
    with pytest.raises(TooFewSamplesError, match="19 pictures"):
        kernel.kernel_distance_to_few(x[:19], y)
