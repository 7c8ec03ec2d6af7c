"""Precision, recall, density, coverage: against distances written out in full."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_prc import prc_features_to_metric

from kaogan.core.errors import KaoganError
from kaogan.metrics import density_coverage as dc
from kaogan.metrics import precision_recall as pr
from kaogan.metrics.stats import neighbors
from kaogan.metrics.stats.estimate import TooFewSamplesError
from kaogan.metrics.stats.manifold import Manifold, pair_of
from tests.metrics.conftest import holds_only_for

Pair = tuple[np.ndarray, np.ndarray]


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sqrt(((x[:, None].astype(float) - y[None].astype(float)) ** 2).sum(-1))


def radii(x: np.ndarray, k: int) -> np.ndarray:
    return np.sort(distances(x, x), 1)[:, k]  # place 0 is the picture itself


def slow(x: np.ndarray, y: np.ndarray, k: int, inclusive: bool) -> dict[str, float]:
    cross = distances(x, y)
    in_real = cross <= radii(y, k) if inclusive else cross < radii(y, k)
    in_fake = cross <= radii(x, k)[:, None] if inclusive else cross < radii(x, k)[:, None]
    return {
        "precision": in_real.any(1).mean(),
        "recall": in_fake.any(0).mean(),
        "density": in_real.sum() / k / len(x),
        "coverage": (cross.min(0) < radii(y, k)).mean(),
    }


def test_the_golden_values(golden: Pair) -> None:
    def precision_and_recall(function) -> None:
        assert function(*golden) == pytest.approx((0.468, 0.9166667), abs=5e-8)

    wrong = {
        "k + 1": lambda x, y: pr.precision_recall(x, y, 4),
        "itself counted as a neighbour": lambda x, y: pr.precision_recall(x, y, 2),
        "sets swapped": lambda x, y: pr.precision_recall(y, x),
    }
    holds_only_for(pr.precision_recall, wrong, precision_and_recall)

    def density_and_coverage(function) -> None:
        assert function(*golden) == pytest.approx((0.3638, 0.6633333), abs=5e-8)

    wrong = {
        "k = 3": lambda x, y: dc.density_coverage(x, y, 3),
        "not divided by k": lambda x, y: (dc.density_coverage(x, y)[0] * 5, dc.density_coverage(x, y)[1]),
        "sets swapped": lambda x, y: dc.density_coverage(y, x),
    }
    holds_only_for(dc.density_coverage, wrong, density_and_coverage)
    theirs = slow(*golden, 5, inclusive=False)
    assert (theirs["precision"], theirs["recall"]) == pytest.approx((0.564, 0.9583333), abs=5e-8)  # of prdc, k = 5


def grid_points() -> Pair:
    """Whole numbers about a whole mean: many equal distances, free of rounding, so that < and <= differ."""
    random = np.random.default_rng(0)
    real = random.integers(0, 5, (35, 2)).astype(float)
    return random.integers(0, 7, (60, 2)).astype(float), np.concatenate([real, 4 - real])


def test_the_edge_of_a_ball() -> None:
    x, y = grid_points()
    closed, opened = slow(x, y, 3, True), slow(x, y, 5, False)

    def closed_balls(function) -> None:
        assert function(x, y) == pytest.approx((closed["precision"], closed["recall"]), abs=1e-12)

    def of_open_balls(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        found = slow(x, y, 3, False)
        return found["precision"], found["recall"]

    holds_only_for(pr.precision_recall, {"<": of_open_balls}, closed_balls)

    def open_balls(function) -> None:
        assert function(x, y) == pytest.approx((opened["density"], opened["coverage"]), abs=1e-12)

    def of_closed_balls(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
        return slow(x, y, 5, True)["density"], opened["coverage"]

    holds_only_for(dc.density_coverage, {"<=": of_closed_balls}, open_balls)


@pytest.mark.parametrize("whole", [False, True])
def test_agrees_with_torch_fidelity(golden: Pair, whole: bool) -> None:
    x, y = golden[0][:400] * 0.9, golden[1][:500]
    settings = {"prc_neighborhood": 3, "prc_batch_size": 128, "save_cpu_ram": not whole, "verbose": False}
    theirs = prc_features_to_metric(torch.from_numpy(x), torch.from_numpy(y), **settings)
    assert pr.precision_recall(x, y) == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-7)


def test_blocks_order_and_type_do_not_matter(golden: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = golden[0][:120], golden[1][:150]
    expected = pr.precision_recall(x, y), dc.density_coverage(x, y)
    random = np.random.default_rng(0)
    mixed = x[random.permutation(len(x))], y[random.permutation(len(y))]
    assert (pr.precision_recall(*mixed), dc.density_coverage(*mixed)) == expected
    single = x.astype(np.float32), y.astype(np.float32)
    assert (pr.precision_recall(*single), dc.density_coverage(*single)) == expected
    for block in (500, 9973):
        monkeypatch.setattr(neighbors, "BLOCK", block)
        assert (pr.precision_recall(x, y), dc.density_coverage(x, y)) == expected


def test_distances_of_copies_are_zero_even_far_from_the_origin() -> None:
    x = np.random.default_rng(0).standard_normal((40, 300)).astype(np.float32) * 3 + 500
    points = neighbors.points_of(x, x.copy())

    def check(between) -> None:
        found = between(*points)
        assert (np.diag(found) == 0).all()
        assert found == pytest.approx(distances(x, x), rel=1e-9, abs=1e-9)

    def products(a: neighbors.Points, b: neighbors.Points) -> np.ndarray:
        p, q = a[:], b[:]
        return np.sqrt(np.abs((p**2).sum(1)[:, None] + (q**2).sum(1) - 2 * p @ q.T))

    holds_only_for(
        lambda a, b: np.concatenate([block for _, block in neighbors.blocks(a, b)]), {"products": products}, check
    )


def test_nearest_against_a_full_sort() -> None:
    random = np.random.default_rng(1)
    x, y = random.standard_normal((50, 5)), random.standard_normal((80, 5))
    a, b = neighbors.points_of(x, y)
    found, indices = neighbors.nearest(a, b, 4)
    assert found == pytest.approx(np.sort(distances(x, y), 1)[:, :4])
    assert (indices == np.argsort(distances(x, y), 1)[:, :4]).all()
    same, _ = neighbors.nearest(a, a, 4, same=True)
    assert same == pytest.approx(np.sort(distances(x, x), 1)[:, 1:5])


def test_radii_within_a_part_of_the_set(golden: Pair) -> None:
    y = golden[1][:200]
    manifold = Manifold(pair_of(y, y)[1], 5)
    mask = np.random.default_rng(0).permutation(len(y)) < 100
    expected = [np.sort(distances(y[i : i + 1], y[mask & (np.arange(len(y)) != i)])[0])[4] for i in range(len(y))]
    assert manifold.radii_within(mask) == pytest.approx(np.array(expected))
    assert manifold.radii_within(np.ones(len(y), bool)) == pytest.approx(radii(y, 5))


def test_a_collapsed_generator_is_precise_and_forgetful() -> None:
    random = np.random.default_rng(0)
    real = random.standard_normal((400, 4))
    collapsed = real[7] + random.standard_normal((300, 4)) * 0.05
    precision, recall = pr.precision_recall(collapsed, real)
    density, coverage = dc.density_coverage(collapsed, real)
    assert precision > 0.8 and recall < 0.3 and coverage < 0.1 and density > 0.8


def test_intervals_cover_the_expectation() -> None:
    random = np.random.default_rng(5)
    samples = [(random.standard_normal((150, 4)) * 0.8 + 0.2, random.standard_normal((180, 4))) for _ in range(40)]
    results = [(*pr.with_intervals(x, y), *dc.with_intervals(x, y)) for x, y in samples]

    def check(scale: float) -> None:
        for number in range(4):
            values = np.array([result[number].value for result in results])
            inside = [
                abs(e.value - values.mean()) <= scale * max(e.high - e.value, e.value - e.low)
                for e in (result[number] for result in results)
            ]
            assert np.mean(inside) >= 0.85
            widths = [e.high - e.low for e in (result[number] for result in results)]
            assert scale * np.mean(widths) < 2 * 1.96 * values.std() * 2

    holds_only_for(1.0, {"a third as wide": 0.33, "five times as wide": 5.0}, check)
    for x, y in samples[:2]:
        assert [e.value for e in pr.with_intervals(x, y)] == pytest.approx(pr.precision_recall(x, y))
        assert [e.value for e in dc.with_intervals(x, y)] == pytest.approx(dc.density_coverage(x, y))


def test_bad_features(golden: Pair) -> None:
    x = golden[0][:50].copy()
    x[3] = np.nan
    for function in (pr.precision_recall, dc.density_coverage):
        with pytest.raises(KaoganError, match="1 of 50 generated pictures"):
            function(x, golden[1])
        with pytest.raises(TooFewSamplesError, match="more than k"):
            function(golden[0][:50], golden[1][:3])
