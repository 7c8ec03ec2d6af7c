from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from kaogan.core.errors import KaoganError
from kaogan.metrics import fid
from kaogan.metrics.fid import distance_of_moments, frechet_distance
from kaogan.metrics.stats.estimate import Estimate, TooFewSamplesError
from kaogan.metrics.stats.moments import Moments
from tests.metrics.conftest import holds_only_for

Pair = tuple[np.ndarray, np.ndarray]


def by_definition(
    x: np.ndarray, y: np.ndarray, ddof: int = 1, mean: float = 1, power: float = 0.5, twice: float = 2
) -> float:
    """The formula with eigenvalues of the product, and knobs to get it wrong."""
    a, b = np.cov(x.T, ddof=ddof), np.cov(y.T, ddof=ddof)
    root = np.sum(np.clip(np.linalg.eigvals(a @ b).real, 0, None) ** power)
    return float(mean * np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a) + np.trace(b) - twice * root)


WRONG = {
    "biased covariance": lambda x, y: by_definition(x, y, ddof=0),
    "mean not squared": lambda x, y: by_definition(x, y) + 1e-7,
    "no means": lambda x, y: by_definition(x, y, mean=0),
    "no root": lambda x, y: by_definition(x, y, power=1),
    "one root": lambda x, y: by_definition(x, y, twice=1),
}


def test_the_golden_value(golden: Pair) -> None:
    def check(distance) -> None:
        assert distance(*golden) == pytest.approx(2.0558463813250185, rel=1e-13)

    holds_only_for(frechet_distance, WRONG, check)


def test_the_toy_of_compare_gan() -> None:
    """A two-dimensional case that can be worked out by hand: compare_gan's test has 89.0909."""
    x = np.array([[float(i), i] for i in range(10)])
    y = np.array([[float(i * 2), 1 + i] for i in range(10)])

    def check(distance) -> None:
        a, b = np.cov(x.T), np.cov(y.T)
        cross = np.trace(a @ b)  # both have rank one, so the root of the product is one number
        by_hand = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a) + np.trace(b) - 2 * np.sqrt(cross)
        assert distance(x, y) == pytest.approx(by_hand, rel=1e-12)

    holds_only_for(frechet_distance, {k: WRONG[k] for k in ("no means", "no root", "one root")}, check)


@pytest.mark.parametrize(("count", "width"), [(300, 8), (500, 64), (60, 40)])
def test_agrees_with_torch_fidelity(count: int, width: int) -> None:
    random = np.random.default_rng(count)
    x = random.standard_normal((count, width)) @ random.standard_normal((width, width)) + 0.3
    y = random.standard_normal((count + 50, width)) * 2

    def check(distance) -> None:
        stats = [fid_features_to_statistics(torch.from_numpy(f)) for f in (x, y)]
        theirs = fid_statistics_to_metric(*stats, verbose=False)["frechet_inception_distance"]
        assert distance(x, y) == pytest.approx(theirs, rel=1e-6)

    holds_only_for(frechet_distance, {"biased covariance": WRONG["biased covariance"]}, check)


def test_identity_and_symmetry(golden: Pair) -> None:
    x, y = golden

    def check(distance) -> None:
        assert abs(distance(x, x)) < 1e-12
        assert distance(x, y) == pytest.approx(distance(y, x), rel=1e-13)

    holds_only_for(
        frechet_distance,
        {
            "one root": WRONG["one root"],
            "only one trace": lambda x, y: by_definition(x, y) - np.trace(np.cov(y.T)),
            "against itself shifted": lambda x, y: by_definition(x, y + 1e-5),
        },
        check,
    )


@pytest.mark.parametrize("count", [5, 20, 48])
def test_more_features_than_samples(count: int) -> None:
    """The covariance is singular. Moving a set by m moves it by |m|², exactly, and identity holds."""
    x = np.random.default_rng(0).standard_normal((count, 100))

    def check(distance) -> None:
        assert abs(distance(x, x)) < 1e-11
        assert distance(x, x + 0.5) == pytest.approx(25.0, rel=1e-12)
        assert distance(x, 3 * x - 2 * x.mean(0)) == pytest.approx(4 * np.trace(np.cov(x.T)), rel=1e-12)

    def roots_of_eigenvalues(x: np.ndarray, y: np.ndarray) -> float:
        """The way that doubles the number of wrong digits."""
        a, b = np.cov(x.T), np.cov(y.T)
        values, vectors = np.linalg.eigh(a)
        half = (vectors * np.sqrt(values.clip(0))) @ vectors.T
        root = np.sqrt(np.linalg.eigvalsh(half @ b @ half).clip(0)).sum()
        return float(np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a) + np.trace(b) - 2 * root)

    holds_only_for(frechet_distance, {"roots of eigenvalues": roots_of_eigenvalues, **WRONG}, check)


def test_degenerate_covariance() -> None:
    """Features that never change, that repeat one another, and a set of one and the same picture."""
    x = np.random.default_rng(1).standard_normal((50, 6))
    flat = np.concatenate([x, np.full((50, 3), 7.0), x[:, :2]], 1)
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-12)
    one_picture = np.tile(flat[:1], (20, 1))
    expected = np.sum((flat[0] - flat.mean(0)) ** 2) + np.trace(np.cov(flat.T))
    assert frechet_distance(one_picture, flat) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(one_picture, one_picture) < 1e-30


def test_chunks_and_order_do_not_matter(golden: Pair) -> None:
    x, y = golden
    whole = Moments.of(y)

    def check(merge) -> None:
        for size in (1, 7, 400, 1200):
            moments = merge(y[start : start + size] for start in range(0, len(y), size))
            assert distance_of_moments(Moments.of(x), moments) == pytest.approx(
                distance_of_moments(Moments.of(x), whole), rel=1e-12
            )
        shuffled = y[np.random.default_rng(0).permutation(len(y))]
        assert distance_of_moments(Moments.of(x), merge([shuffled])) == pytest.approx(
            distance_of_moments(Moments.of(x), whole), rel=1e-12
        )

    def without_the_means(chunks) -> Moments:
        parts = [Moments.of(c) for c in chunks]
        count = sum(p.count for p in parts)
        return Moments(count, sum(p.mean * p.count for p in parts) / count, sum(p.scatter for p in parts))

    def last_chunk_lost(chunks) -> Moments:
        return Moments.merged(list(chunks)[:-1] or [y[:-1]])

    holds_only_for(Moments.merged, {"no means": without_the_means, "last chunk": last_chunk_lost}, check)


def test_single_precision_features_far_from_zero() -> None:
    """float32 features are summed in float64: an offset of a thousand costs no digits."""
    random = np.random.default_rng(2)
    x32, y32 = (random.standard_normal((400, 12)).astype(np.float32) + 1000 for _ in range(2))

    def check(distance) -> None:
        exact = by_definition(x32.astype(np.float64), y32.astype(np.float64))
        assert distance(x32, y32) == pytest.approx(exact, rel=1e-9)

    def in_single(x: np.ndarray, y: np.ndarray) -> float:
        parts = []
        for f in (x, y):
            mean = f.mean(0)
            parts.append((mean, (f.T @ f / len(f) - np.outer(mean, mean)).astype(np.float32)))
        (m, a), (n, b) = parts
        return float(
            np.sum((m - n) ** 2) + np.trace(a) + np.trace(b) - 2 * np.sqrt(np.abs(np.linalg.eigvals(a @ b))).sum()
        )

    holds_only_for(frechet_distance, {"sums in float32": in_single}, check)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_no_numbers(golden: Pair, bad: float) -> None:
    x = golden[0].copy()
    x[[17, 30], 3] = bad
    with pytest.raises(KaoganError, match=r"2 of 1000 .* number 17"):
        frechet_distance(x, golden[1])


def test_too_few() -> None:
    one = np.ones((1, 3))
    with pytest.raises(TooFewSamplesError, match="at least 2"):
        frechet_distance(one, np.ones((5, 3)))
    with pytest.raises(TooFewSamplesError, match="at least 40"):
        fid.extrapolated(np.ones((39, 3)), np.ones((50, 3)))
    with pytest.raises(ValueError, match="different extractors"):
        frechet_distance(np.ones((5, 3)), np.ones((5, 4)))


def simulate(runs: int = 60, shift: float = 0.3) -> list[Pair]:
    random = np.random.default_rng(3)
    return [
        (random.standard_normal((250, 8)) * 1.2 + shift, random.standard_normal((300, 8))) for _ in range(runs)
    ]  # fmt: skip


def test_the_interval_covers_the_expectation() -> None:
    """95 % intervals hold the mean over repeated samples about 95 times in 100; the bootstrap's hold it far less."""
    samples = simulate()
    expectation = np.mean([frechet_distance(x, y) for x, y in samples])
    spread = np.std([frechet_distance(x, y) for x, y in samples])

    def check(interval) -> None:
        intervals = [interval(x, y) for x, y in samples]
        assert np.mean([i.low <= expectation <= i.high for i in intervals]) >= 0.88
        assert np.mean([i.high - i.low for i in intervals]) < 2 * 1.96 * spread * 1.4  # and not by being endless

    def bootstrap(x: np.ndarray, y: np.ndarray) -> Estimate:
        random = np.random.default_rng(0)
        values = [
            frechet_distance(x[random.integers(len(x), size=len(x))], y[random.integers(len(y), size=len(y))])
            for _ in range(40)
        ]
        return Estimate(frechet_distance(x, y), *np.quantile(values, (0.025, 0.975)))

    def half_as_wide(x: np.ndarray, y: np.ndarray) -> Estimate:
        estimate = fid.with_interval(x, y)
        return Estimate.around(estimate.value, (estimate.high - estimate.value) / 2)

    holds_only_for(fid.with_interval, {"bootstrap": bootstrap, "half as wide": half_as_wide}, check)


def test_extrapolation_takes_the_bias_away() -> None:
    truth = 8 * (0.3**2 + 0.2**2)
    samples = simulate()

    def check(estimate) -> None:
        estimates = [estimate(x, y) for x, y in samples]
        values = np.array([e.value for e in estimates])
        assert abs(values.mean() - truth) < 2.5 * values.std() / np.sqrt(len(values))
        assert np.mean([e.low <= truth <= e.high for e in estimates]) >= 0.88

    holds_only_for(fid.extrapolated, {"not extrapolated": fid.with_interval}, check)
