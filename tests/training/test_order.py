"""The order of sets: permutations, windows of shards, and how well the windows shuffle."""

from __future__ import annotations

import numpy as np
import pytest

from kaogan.core.rng import numpy_generator
from kaogan.training.order import ShuffledEpochs, WindowedEpochs

COUNTS = [7, 3, 5, 1, 9, 4, 6]


def test_an_epoch_is_the_permutation_that_runs_of_earlier_releases_saw() -> None:
    order = ShuffledEpochs(10, seed=3)
    epochs = [numpy_generator(3, "data/order", epoch).permutation(10) for epoch in range(3)]
    assert np.array_equal(order.rows(0, 30), np.concatenate(epochs))
    assert np.array_equal(order.rows(17, 6), np.concatenate(epochs)[17:23])


@pytest.mark.parametrize("window", [1, 8, 12, 1000])
def test_every_epoch_shows_every_picture_once_wherever_it_is_entered(window: int) -> None:
    total = sum(COUNTS)
    straight = WindowedEpochs(COUNTS, 5, window).rows(0, 3 * total)
    epochs = straight.reshape(3, total)
    assert all(sorted(epoch) == list(range(total)) for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])
    jumping = WindowedEpochs(COUNTS, 5, window)
    for start, count in ((88, 4), (0, 9), (total - 3, 7), (40, 33), (2, 1), (87, 0)):
        found = jumping.rows(start, count) if count else np.empty(0, np.int64)
        assert np.array_equal(found, straight[start : start + count])
    assert not np.array_equal(WindowedEpochs(COUNTS, 6, window).rows(0, total), epochs[0])


def test_only_the_shards_of_a_window_are_in_use_and_the_next_ones_are_known() -> None:
    order = WindowedEpochs(COUNTS, 1, window=10)
    shard_of = np.repeat(np.arange(len(COUNTS)), COUNTS)
    for epoch in range(2):
        windows, ends = order._windows(epoch)
        assert sorted(np.concatenate(windows).tolist()) == list(range(len(COUNTS)))
        assert all(sum(COUNTS[at] for at in window) >= 10 for window in windows[:-1])
        for number, (window, end) in enumerate(zip(windows, ends.tolist(), strict=True)):
            begin = epoch * sum(COUNTS) + (int(ends[number - 1]) if number else 0)
            length = epoch * sum(COUNTS) + end - begin
            assert set(shard_of[order.rows(begin, length)].tolist()) == set(window.tolist())
            now, following = order.shards(begin + length - 1)
            assert now.tolist() == window.tolist()
            assert set(shard_of[order.rows(begin + length, 1)].tolist()) <= set(following.tolist())


def test_windows_shuffle_well_enough_that_no_batch_is_of_one_class() -> None:
    """A set sorted by class, the worst case: ten classes, each in ten shards of its own, windows of a tenth."""
    counts, batch = [100] * 100, 100
    order = WindowedEpochs(counts, 0, window=1000)
    rows = order.rows(0, 10_000)
    seen, plain = (
        np.array([len(set(part.tolist())) for part in (each // 1000).reshape(-1, batch)])
        for each in (rows, ShuffledEpochs(10_000, 0).rows(0, 10_000))
    )
    assert seen.min() >= 4 and seen.mean() > 5.5 and plain.mean() > 9.9
    # A picture's place in the epoch says nothing of its place in the set, and two epochs share no order.
    places = np.empty((20, 10_000))
    for epoch in range(20):
        places[epoch, order.rows(epoch * 10_000, 10_000)] = np.arange(10_000)
    assert abs(np.corrcoef(places.mean(0), np.arange(10_000))[0, 1]) < 0.2
    neighbours = np.abs(np.diff(rows)) == 1
    assert neighbours.mean() < 0.005, "pictures side by side in a shard are not side by side in a batch"


def test_little_is_kept_of_a_long_order() -> None:
    order = WindowedEpochs([50] * 40, 0, window=100)
    for start in range(0, 8000, 30):
        order.rows(start, 30)
    assert len(order._parts) <= 3 and all(len(part) == 100 for part in order._parts.values())
