"""The order of the data, and the memory of old fakes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from kaogan.core.errors import UsageError
from kaogan.core.images import to_uint8
from kaogan.data import load_pictures
from kaogan.data.shards.writer import write_shards
from kaogan.losses.extras.replay_buffer import ReplayBuffer
from kaogan.training.sampler import InfiniteSampler
from tests.data.shards.conftest import COUNT, SHARD_SIZE, pixels, samples
from tests.training.conftest import make_pictures


def numbered(count: int, batch_size: int, seed: int = 0, flip: bool = False) -> InfiniteSampler:
    """Pictures that hold their own number in the left column and zero elsewhere."""
    pictures = make_pictures(count, 4)
    pictures.images[:] = 0
    pictures.images[:, :, 0, :] = np.arange(count, dtype=np.uint8)[:, None, None]
    pictures.labels.resize((count, 1), refcheck=False)
    pictures.labels[:, 0] = np.arange(count)
    return InfiniteSampler(pictures, batch_size, seed, flip)


def order(batches: InfiniteSampler, start: int, count: int) -> list[int]:
    return [
        n for clock in range(start, start + count, batches.batch_size) for n in batches.at(clock).labels[:, 0].tolist()
    ]


@pytest.mark.parametrize(("count", "batch_size"), [(12, 4), (10, 4), (7, 7), (13, 5), (9, 1)])
def test_every_epoch_is_a_permutation(count: int, batch_size: int) -> None:
    seen = order(numbered(count, batch_size), 0, count * batch_size * 3)
    epochs = [seen[start : start + count] for start in range(0, count * 3, count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] and epochs[0] != list(range(count))


def test_is_a_function_of_the_clock_alone() -> None:
    straight = numbered(10, 4)
    batches = {clock: straight.at(clock) for clock in range(0, 80, 4)}
    jumping = numbered(10, 4)
    for clock in (76, 0, 36, 8, 8, 40):
        assert torch.equal(jumping.at(clock).images, batches[clock].images)
        assert torch.equal(jumping.at(clock).labels, batches[clock].labels)
    assert order(numbered(10, 2), 0, 40) == order(straight, 0, 40), "the batch size drops out"


def sharded(folder: Path, workers: int) -> InfiniteSampler:
    pictures = load_pictures(folder, image_size=8, attributes=["mood"], workers=workers)
    return InfiniteSampler(pictures, batch_size=5, seed=4, flip=True)


def test_a_set_in_shards_is_a_function_of_the_clock_alone_too(tmp_path: Path) -> None:
    """Read straight on by a process ahead of time, or here and there by this one: the same batches."""
    shards = [
        (name, suffix, data, {"mood": str(number)}, None) for number, (name, suffix, data, *_) in enumerate(samples())
    ]
    write_shards(tmp_path, shards, ["mood"], SHARD_SIZE)
    ahead, here = sharded(tmp_path, workers=1), sharded(tmp_path, workers=0)
    batches = {clock: ahead.at(clock) for clock in range(0, 3 * COUNT, 5)}
    for clock in (60, 0, 25, 5, 5, 20):
        found = here.at(clock)
        assert torch.equal(found.images, batches[clock].images) and torch.equal(found.labels, batches[clock].labels)
    names = ahead.pictures.schema.attributes[0].values
    shown = [int(names[n]) for batch in batches.values() for n in batch.labels[:, 0].tolist()]
    assert all(sorted(shown[start : start + COUNT]) == list(range(COUNT)) for start in (0, COUNT))
    images = np.concatenate([to_uint8(batch.images) for batch in batches.values()])
    for image, number in zip(images, shown, strict=True):
        assert (image == pixels()[number]).all() or (image[:, ::-1] == pixels()[number]).all()
    assert np.array_equal(ahead.extra("blur", 10, 3), here.extra("blur", 10, 3))
    halves = [here.at(40, shard, 5).labels for shard in range(5)]
    assert torch.equal(torch.cat(halves), batches[40].labels)


def test_another_seed_is_another_order() -> None:
    assert order(numbered(10, 5, seed=1), 0, 10) != order(numbered(10, 5, seed=2), 0, 10)


def test_pictures_and_labels_stay_together() -> None:
    for clock in range(0, 60, 4):
        batch = numbered(11, 4).at(clock)
        assert batch.images.shape == (4, 3, 4, 4) and batch.images.dtype == torch.float32
        left = ((batch.images[:, 0, 0, 0] + 1) * 127.5).round().long()
        assert torch.equal(left, batch.labels[:, 0])
        assert float(batch.images[:, :, :, 1:].max()) == -1


def test_flips_mirror_about_half_of_them_and_nothing_else() -> None:
    plain, flipped = numbered(20, 10), numbered(20, 10, flip=True)
    mirrored = []
    for clock in range(0, 400, 10):
        a, b = plain.at(clock), flipped.at(clock)
        assert torch.equal(a.labels, b.labels), "the order does not depend on it"
        for x, y in zip(a.images, b.images, strict=True):
            assert torch.equal(x, y) or torch.equal(x.flip(-1), y)
            if float((x + 1).sum()) > 0:
                mirrored.append(not torch.equal(x, y))
        assert torch.equal(b.images, numbered(20, 10, flip=True).at(clock).images)
    assert 0.4 < np.mean(mirrored) < 0.6
    assert plain.pictures.images[:, :, 1:].max() == 0, "the set itself is never written to"
    assert flipped.pictures.images[:, :, 1:].max() == 0


def test_further_pictures_have_draws_of_their_own() -> None:
    batches = numbered(20, 5)
    a, b, c = batches.extra("blur", 0, 5), batches.extra("blur", 5, 5), batches.extra("other", 0, 5)
    assert a.shape == (5, 4, 4, 3) and a.dtype == np.uint8
    assert not np.array_equal(a, b) and not np.array_equal(a, c)
    assert np.array_equal(a, numbered(20, 5).extra("blur", 0, 5))
    drawn = {int(n) for clock in range(60) for n in batches.extra("blur", clock, 5)[:, 0, 0, 0]}
    assert drawn == set(range(20)), "from the whole set"


def test_less_than_one_batch_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a test has 7 usable pictures, fewer .* 8; .*--training.batch_size"):
        numbered(7, 8)


# The memory


def picture(value: int) -> torch.Tensor:
    return torch.full((1, 3, 2, 2), value / 127.5 - 1)


def values(memory: ReplayBuffer) -> list[int]:
    drawn = memory.draw(10**6, np.random.default_rng(0))
    return sorted(((drawn[:, 0, 0, 0] + 1) * 127.5).round().int().tolist())


def test_what_is_remembered_is_the_uint8_picture() -> None:
    memory = ReplayBuffer(10)
    images = torch.linspace(-1.5, 1.5, 48).view(1, 3, 4, 4)
    memory.offer(images, np.random.default_rng(0))
    back = memory.draw(1, np.random.default_rng(0))
    expected = ((images + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1
    assert torch.allclose(back, expected, atol=1e-6) and float(back.abs().max()) <= 1


def test_capacity_and_draws_without_replacement() -> None:
    memory, random = ReplayBuffer(5), np.random.default_rng(0)
    assert len(memory) == 0
    with pytest.raises(ValueError, match="empty"):
        memory.draw(1, random)
    for value in range(3):
        memory.offer(picture(value), random)
    assert len(memory) == 3 and values(memory) == [0, 1, 2], "as many as there are, each once"
    memory.offer(torch.cat([picture(value) for value in range(3, 20)]), random)
    assert len(memory) == 5 and len(set(values(memory))) == 5
    draws = [memory.draw(2, np.random.default_rng(seed)) for seed in range(40)]
    assert all(not torch.equal(draw[0], draw[1]) for draw in draws)
    assert len({float(x) for draw in draws for x in draw[:, 0, 0, 0]}) == 5, "every one is drawn some time"


def test_the_reservoir_is_fair_to_every_age() -> None:
    kept = np.zeros(30)
    rounds = 2000
    for seed in range(rounds):
        memory, random = ReplayBuffer(6), np.random.default_rng(seed)
        for start in range(0, 30, 3):
            memory.offer(torch.cat([picture(value) for value in range(start, start + 3)]), random)
        kept[values(memory)] += 1
    # 6 of 30: each with probability 1/5; a standard deviation is sqrt(0.16/2000) = 0.009.
    assert np.abs(kept / rounds - 0.2).max() < 0.04
    assert abs(kept[:6].mean() - kept[-6:].mean()) / rounds < 0.02


def test_goes_on_where_it_was() -> None:
    def fill(memory: ReplayBuffer, first: int, last: int) -> None:
        for value in range(first, last):
            memory.offer(picture(value), np.random.default_rng(value))

    whole, half, rest = ReplayBuffer(4), ReplayBuffer(4), ReplayBuffer(4)
    fill(whole, 0, 20)
    fill(half, 0, 11)
    state = half.state_dict()
    fill(half, 11, 20)  # the state is a copy
    rest.load_state_dict(state)
    fill(rest, 11, 20)
    assert values(rest) == values(whole) == values(half) and rest.offered == 20
    empty = ReplayBuffer(4)
    empty.load_state_dict(ReplayBuffer(4).state_dict())
    assert len(empty) == 0


@pytest.mark.parametrize("capacity", [2, 9])
def test_another_capacity_holds_what_there_is(capacity: int) -> None:
    old, new = ReplayBuffer(5), ReplayBuffer(capacity)
    for value in range(20):
        old.offer(picture(100 + value), np.random.default_rng(value))
    new.load_state_dict(old.state_dict())
    assert len(new) == min(5, capacity) and set(values(new)) <= set(values(old))
    new.offer(picture(7), np.random.default_rng(0))
    assert len(new) == (6 if capacity == 9 else 2)
    assert set(values(new)) <= {*values(old), 7}


def test_a_thread_reads_ahead_for_a_device_what_the_clock_names() -> None:
    plain, ahead = numbered(10, 4, flip=True), numbered(10, 4, flip=True)
    ahead._thread = ThreadPoolExecutor(1)  # as it is made for a device
    for clock in (0, 4, 8, 40, 44, 0):
        for shard in range(2):
            expected, found = (sampler.at(clock, shard, 2) for sampler in (plain, ahead))
            assert torch.equal(expected.images, found.images) and torch.equal(expected.labels, found.labels)
    assert len(ahead._reading) == 2
