"""Metrics of pictures and labels: copies, attributes, variety, PSNR and SSIM."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from kaogan.core.errors import KaoganError
from kaogan.metrics import memorization as memory
from kaogan.metrics.attribute_accuracy import accuracy
from kaogan.metrics.diversity import diversity
from kaogan.metrics.psnr_ssim import psnr, ssim
from kaogan.metrics.stats.estimate import TooFewSamplesError
from kaogan.metrics.stats.intervals import mean_of
from tests.metrics.conftest import holds_only_for

# memorization


@pytest.fixture(scope="module")
def training() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((400, 12))


@pytest.mark.parametrize("copies", [0, 30, 200])
def test_copies_are_counted(training: np.ndarray, copies: int) -> None:
    random = np.random.default_rng(1)
    fresh = random.standard_normal((200 - copies, 12)) + 20
    rows = random.permutation(400)[:copies]
    generated = np.concatenate([training[rows] + random.standard_normal((copies, 12)) * 0.05, fresh])

    def check(measure) -> None:
        found = measure(generated, training)
        assert found.copies.value == copies / 200
        assert (found.nearest[:copies] == rows).all()
        assert found.copies.low <= found.copies.value <= found.copies.high
        assert (found.closeness[:copies] <= found.threshold).all() and (found.closeness[copies:] > 1).all()

    def farthest(generated: np.ndarray, training: np.ndarray) -> memory.Memorization:
        return memory.memorization(-generated, training)

    holds_only_for(memory.memorization, {"another place": farthest} if copies else {}, check)


def test_one_in_twenty_fresh_pictures_counts() -> None:
    random = np.random.default_rng(2)
    training, fresh = random.standard_normal((2000, 12)), random.standard_normal((2000, 12))

    def check(measure) -> None:
        found = measure(fresh, training)
        assert found.copies.value == pytest.approx(memory.QUANTILE, abs=0.02)
        assert found.usual == pytest.approx(1, abs=0.05)

    def itself_as_neighbour(generated: np.ndarray, training: np.ndarray) -> memory.Memorization:
        return memory.memorization(generated, np.concatenate([training, training]))

    holds_only_for(memory.memorization, {"each is its own neighbour": itself_as_neighbour}, check)
    exact = memory.memorization(training[:50], training)
    assert exact.copies.value == 1 and exact.usual == 0
    with pytest.raises(TooFewSamplesError, match="at least 40"):
        memory.memorization(fresh, training[:39])


# attributes


def test_accuracy_by_hand() -> None:
    asked = np.array([0, 0, 0, 1, 1, 2, 2, -1, 1])
    seen = np.array([0, 0, 1, 1, 1, 0, 2, 0, -1])

    def check(measure) -> None:
        found = measure(asked, seen, ("red", "blue", "green", "gray"))
        assert found.accuracy.value == pytest.approx(5 / 7)
        assert {v: e.value for v, e in found.per_class.items()} == pytest.approx(
            {"red": 2 / 3, "blue": 1, "green": 0.5}
        )
        assert found.confusion.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]

    wrong = {
        "transposed": lambda a, s, v: accuracy(s, a, v),
        "unknown counts": lambda a, s, v: accuracy(a.clip(0), s.clip(0), v),
    }
    holds_only_for(accuracy, wrong, check)


def test_wilson_s_interval() -> None:
    """Values of the published table: 8 of 10 gives 0.490 to 0.943."""
    found = accuracy(np.zeros(10, int), np.array([0] * 8 + [1] * 2), ("a", "b")).accuracy
    assert (found.low, found.high) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    sure = accuracy(np.zeros(10, int), np.zeros(10, int), ("a", "b")).accuracy
    assert sure.value == sure.high == 1 and sure.low == pytest.approx(0.7224672, abs=1e-6)


def test_shuffled_labels_are_chance() -> None:
    random = np.random.default_rng(0)
    asked = random.integers(0, 10, 5000)
    found = accuracy(asked, random.permutation(asked), tuple("abcdefghij"))
    assert found.accuracy.low < 0.1 < found.accuracy.high


def test_no_known_value() -> None:
    with pytest.raises(TooFewSamplesError, match="no picture"):
        accuracy(np.array([-1, -1]), np.array([0, 1]), ("a", "b"))


# diversity


def test_diversity_is_the_share_of_the_real_variety() -> None:
    random = np.random.default_rng(0)
    real_conditions = random.integers(0, 3, 3000)
    centres = np.array([[0.0] * 6, [20.0] * 6, [-30.0] * 6])
    real = centres[real_conditions] + random.standard_normal((3000, 6))
    conditions = random.integers(0, 3, 3000)
    fake = centres[conditions] + random.standard_normal((3000, 6)) * np.array([1.0, 0.5, 0.1])[conditions, None]

    def check(measure) -> None:
        mean, each = measure(fake, conditions, real, real_conditions)
        assert {c: e.value for c, e in each.items()} == pytest.approx({0: 1, 1: 0.5, 2: 0.1}, rel=0.06)
        assert each[1].low < 0.5 < each[1].high and mean.value == pytest.approx(1.6 / 3, rel=0.05)

    wrong = {
        "one condition": lambda f, fc, r, rc: diversity(f, fc * 0, r, rc * 0),
        "swapped": lambda f, fc, r, rc: diversity(r, rc, f, fc),
    }
    holds_only_for(diversity, wrong, check)


def test_diversity_needs_pairs() -> None:
    few = np.random.default_rng(0).standard_normal((19, 3))
    with pytest.raises(TooFewSamplesError, match="fewer than 20"):
        diversity(few, np.zeros(19, int), few, np.zeros(19, int))
    broken = np.full((40, 3), np.nan)
    with pytest.raises(KaoganError, match="not numbers"):
        diversity(broken, np.zeros(40, int), broken, np.zeros(40, int))


# similarity


def test_psnr_by_hand() -> None:
    black, grey = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 20, np.uint8)

    def check(measure) -> None:
        assert measure(grey, black) == pytest.approx(20 * math.log10(12.75), rel=1e-12)
        assert measure(black, grey) == measure(grey, black)

    def wraps(a: np.ndarray, b: np.ndarray) -> float:
        return 10 * math.log10(255**2 / float(np.mean((a - b) ** 2)))  # in uint8, as one forgets

    holds_only_for(psnr, {"uint8 arithmetic": wraps}, check)
    assert psnr(black, black) == math.inf


def test_ssim_of_ones_and_twos() -> None:
    assert ssim(np.ones((32, 32)), np.full((32, 32), 2.0)) == pytest.approx(0.9130623, abs=1e-7)
    assert ssim(np.ones((32, 32)), np.ones((32, 32))) == 1


@pytest.mark.parametrize("shape", [(11, 11), (40, 33), (24, 31, 3), (16, 16, 1)])
def test_agrees_with_scikit_image(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 256, shape, np.uint8)
    y = np.clip(x + random.normal(0, 30, shape), 0, 255).astype(np.uint8)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    axis = 2 if len(shape) == 3 else None

    def check(measure) -> None:
        assert measure(x, y) == pytest.approx(structural_similarity(x, y, channel_axis=axis, **settings), abs=1e-6)

    wrong = {
        "box window": lambda x, y: structural_similarity(x, y, channel_axis=axis, data_range=255),
        "range of 1": lambda x, y: ssim(x, y, 1.0),
    }
    holds_only_for(ssim, wrong, check)
    assert psnr(x, y) == pytest.approx(peak_signal_noise_ratio(x, y, data_range=255), rel=1e-12)


def test_pictures_that_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        psnr(np.ones((4, 4)), np.ones((4, 5)))
    with pytest.raises(ValueError, match="at least 11 px"):
        ssim(np.ones((10, 20)), np.ones((10, 20)))


# intervals


def test_the_interval_of_a_mean_is_student_s() -> None:
    """By a printed table: the 97.5 % quantile with 3 degrees of freedom is 3.182."""
    found = mean_of(np.array([1.0, 2.0, 3.0, 4.0]))
    assert found.value == 2.5 and found.high - 2.5 == pytest.approx(3.182446 * np.sqrt(5 / 3) / 2, rel=1e-6)
