"""Checkpoints are whole and checked, or told apart; and only what may go is removed."""

from __future__ import annotations

import errno
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kaogan.core import checkpoint
from kaogan.core.errors import KaoganError
from tests.training.conftest import Bench
from tests.training.tiny import EXTRAS, tiny

TENSORS = {
    "generator/weight": torch.arange(12.0).view(3, 4),
    "count": torch.tensor(3),
    "empty": torch.zeros(0, 4),
    "pictures": torch.arange(48, dtype=torch.uint8).view(2, 2, 4, 3),
    "turned": torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last),
}
STATE = {"clock": 640, "seconds": 1.5, "generator_scaler": {}, "name": "顔"}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return checkpoint.save(tmp_path, TENSORS, STATE)


def rewritten(path: Path, header: dict[str, str | None], tensors: dict[str, torch.Tensor] | None = None) -> None:
    """The same checkpoint with another header or other tensors."""
    with safe_open(path, "pt") as opened:
        old = opened.metadata()
    new = {key: value for key, value in (old | header).items() if value is not None}
    save_file(tensors or {k: v.contiguous() for k, v in TENSORS.items()}, path, new)


def refused(path: Path, *words: str) -> None:
    with pytest.raises(KaoganError) as caught:
        checkpoint.load(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message, message
    assert any(word in message for word in words), message


def test_there_and_back(whole: Path) -> None:
    tensors, state = checkpoint.load(whole)
    assert state == STATE and tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype
    assert whole.name == "checkpoint-0000000640.safetensors"
    assert [path.name for path in whole.parent.iterdir()] == [whole.name]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_cut_short(whole: Path, share: float) -> None:
    content = whole.read_bytes()
    whole.write_bytes(content[: int(len(content) * share)])
    refused(whole, "damaged or not a checkpoint")


def test_one_byte_too_short_or_too_long(whole: Path) -> None:
    content = whole.read_bytes()
    for changed in (content[:-1], content + b"\0"):
        whole.write_bytes(changed)
        refused(whole, "damaged or not a checkpoint")


def test_any_flipped_byte_is_noticed(whole: Path) -> None:
    content = whole.read_bytes()
    where = [*range(0, len(content), 13), len(content) - 1]
    for position in where:
        changed = bytearray(content)
        changed[position] ^= 1
        whole.write_bytes(bytes(changed))
        try:
            tensors, state = checkpoint.load(whole)
        except KaoganError as error:
            assert "\n" not in str(error) and str(whole) in str(error)
            continue
        # Some bytes are only words of the header: the version of the writer.
        assert state == STATE and all(torch.equal(tensors[k], v) for k, v in TENSORS.items()), position


def test_tampered_numbers_and_tensors(whole: Path) -> None:
    rewritten(whole, {"state": json.dumps({**STATE, "clock": 6400})})
    refused(whole, "altered after it was written")
    checkpoint.save(whole.parent, TENSORS, STATE)
    rewritten(whole, {}, {**{k: v.contiguous() for k, v in TENSORS.items()}, "count": torch.tensor(4)})
    refused(whole, "altered after it was written")
    checkpoint.save(whole.parent, TENSORS, STATE)
    rewritten(whole, {}, {"count": torch.tensor(3)})
    refused(whole, "altered after it was written")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"format": "2", "kaogan": "9.1"}, "written by a newer kaogan (9.1); upgrade"),
        ({"kaogan": None}, "was not written by kaogan"),
        ({"format": "words"}, "damaged or not a checkpoint"),
        ({"format": None}, "damaged or not a checkpoint"),
        ({"state": "{"}, "damaged or not a checkpoint"),
        ({"state": None}, "damaged or not a checkpoint"),
        ({"state": "[]"}, "damaged or not a checkpoint"),
        ({"state": "[" * 100_000}, "damaged or not a checkpoint"),
        ({"sha256": None}, "damaged or not a checkpoint"),
        ({"sha256": "0" * 64}, "altered after it was written"),
    ],
)
def test_headers(whole: Path, header: dict[str, str | None], words: str) -> None:
    rewritten(whole, header)
    refused(whole, words)


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / checkpoint.name_at(8)
    save_file({"a": torch.zeros(2)}, path)
    refused(path, "was not written by kaogan")
    marker = tmp_path / "executed"
    path.write_bytes(pickle.dumps({"a": 1}))
    refused(path, "damaged or not a checkpoint")

    class Evil:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return Path.touch, (marker,)

    torch.save(Evil(), path)
    refused(path, "damaged or not a checkpoint")
    assert not marker.exists(), "no pickle is ever executed"
    refused(tmp_path / "none.safetensors", "cannot read")
    (tmp_path / "folder.safetensors").mkdir()
    refused(tmp_path / "folder.safetensors", "cannot read", "damaged")


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("I/O error: No space left (os error 28)"),
     SafetensorError("something\nelse"), KeyboardInterrupt()],
)  # fmt: skip
def test_a_failed_write_keeps_what_was_there(
    whole: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(tensors: object, path: Path, header: object) -> None:
        Path(path).write_bytes(b"half")
        raise error

    before = whole.read_bytes()
    monkeypatch.setattr(checkpoint, "save_file", fail)
    for clock in (640, 1280):
        with pytest.raises((KaoganError, KeyboardInterrupt)) as caught:
            checkpoint.save(whole.parent, TENSORS, {**STATE, "clock": clock})
        if isinstance(caught.value, KaoganError):
            full = "28" in str(error)
            assert ("the disk is full" in str(caught.value)) == full and "\n" not in str(caught.value)
    assert [path.name for path in whole.parent.iterdir()] == [whole.name] and whole.read_bytes() == before


def test_find_is_by_clock_and_ignores_the_rest(tmp_path: Path) -> None:
    for clock in (5, 10**11, 100, 20):
        checkpoint.save(tmp_path, {}, {"clock": clock})
    for name in ("checkpoint-x.safetensors", "checkpoint-0000000009.txt",
                 ".checkpoint-0000000007.partialab.safetensors",
                 "checkpoint-0000000030.safetensors.unusable"):  # fmt: skip
        (tmp_path / name).write_bytes(b"")
    assert [checkpoint.clock_of(path) for path in checkpoint.find(tmp_path)] == [5, 20, 100, 10**11]
    assert checkpoint.find(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("clocks", "keep_last", "keep_every", "kept"),
    [
        (range(10, 80, 10), 2, 0, [60, 70]),
        (range(10, 80, 10), 1, 0, [70]),
        (range(10, 80, 10), 99, 0, [10, 20, 30, 40, 50, 60, 70]),
        (range(10, 80, 10), 2, 20, [20, 40, 60, 70]),
        (range(10, 80, 10), 1, 30, [30, 60, 70]),
        # No checkpoint falls on a multiple of 25: the first one after it stands for it.
        (range(10, 110, 10), 1, 25, [30, 50, 80, 100]),
        # Of an interruption at 31 and one at 44, neither is at a multiple of 20, nor the first one after it.
        ([10, 20, 30, 31, 40, 44, 50, 60, 70], 1, 20, [20, 40, 60, 70]),
        ([7, 14, 21], 1, 100, [21]),
    ],
)
def test_rotation(tmp_path: Path, clocks: list[int], keep_last: int, keep_every: int, kept: list[int]) -> None:
    for clock in clocks:
        checkpoint.save(tmp_path, {}, {"clock": clock})
        checkpoint.rotate(tmp_path, keep_last, keep_every)
    assert [checkpoint.clock_of(path) for path in checkpoint.find(tmp_path)] == kept


# The state of a training in it


THAWING = {"discriminator.family": "projected", "discriminator.width": 4, "discriminator.unfreeze_at": 24}
GROWING = {
    "image_size": 32, "generator.family": "growing", "generator.width": 4, "generator.base_size": 8,
    "generator.grow_at": 24,
    "discriminator.family": "projected", "discriminator.width": 4,
    "discriminator.crop_networks": [{"name": "tagger", "size": 16, "taps": [0]}],
}  # fmt: skip


@pytest.mark.parametrize(
    "settings", [*(EXTRAS[number] for number in (0, 2, 13, 19)), THAWING, GROWING, GROWING | {"generator.grow_at": 8}]
)
@pytest.mark.parametrize("optimiser", ["adam", "adamw", "rmsprop", "sgd"])
def test_a_state_comes_back_bit_for_bit(
    bench: Callable[..., Bench], tmp_path: Path, settings: dict[str, Any], optimiser: str
) -> None:
    recipe = tiny(**settings, **{"optim.name": optimiser, "optim.momentum": 0.5})

    def advance(trained: Bench, steps: int) -> None:
        for _ in range(steps):
            trained.step()
            trained.state.ema.update(trained.state.images_seen, 8)

    whole, resumed = bench(recipe), bench(recipe)
    advance(whole, 2)
    whole.state.seconds = 12.5
    path = checkpoint.save(tmp_path, *whole.state.state_dict())
    resumed.state.load_state_dict(*checkpoint.load(path))
    assert resumed.state.images_seen == 16 and resumed.state.seconds == 12.5
    advance(whole, 2)
    advance(resumed, 2)
    first, numbers = whole.state.state_dict()
    second, others = resumed.state.state_dict()
    assert numbers == others and first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    parts = {name.split("/")[0] for name in first}
    assert {"generator", "discriminator", "ema", "generator_optim", "discriminator_optim", "extras"} == parts


def test_fp16_keeps_its_loss_scale(bench: Callable[..., Bench], tmp_path: Path) -> None:
    first, second = bench(tiny(), precision="fp16"), bench(tiny(), precision="fp16")
    first.step(4)
    first.state.generator_scaler.update(128.0)
    second.state.load_state_dict(*checkpoint.load(checkpoint.save(tmp_path, *first.state.state_dict())))
    assert second.state.generator_scaler.get_scale() == 128.0


def test_a_run_of_the_cpu_goes_on_in_fp16(bench: Callable[..., Bench], tmp_path: Path) -> None:
    """Cards without bfloat16 take fp16 by themselves; a CPU's checkpoint has no loss scale."""
    first, second = bench(tiny()), bench(tiny(), precision="fp16")
    first.step()
    second.state.load_state_dict(*checkpoint.load(checkpoint.save(tmp_path, *first.state.state_dict())))
    second.step()
    assert second.state.generator_scaler.get_scale() > 1


def test_tensors_that_numpy_does_not_know(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3).to(torch.bfloat16), "b": torch.tensor(2.0, dtype=torch.bfloat16)}
    found, _ = checkpoint.load(checkpoint.save(tmp_path, tensors, {"clock": 8}))
    assert all(torch.equal(tensors[name], found[name]) for name in tensors)


@pytest.mark.parametrize(
    "settings", [{"generator.width": 5}, {"discriminator.width": 5}, {"latent.size": 9}, {"generator.norm": "none"},
                 {"discriminator.family": "keras_wgan"}],
)  # fmt: skip
def test_checkpoints_of_other_networks(bench: Callable[..., Bench], settings: dict[str, Any]) -> None:
    state = bench(tiny()).state.state_dict()
    with pytest.raises(ValueError, match=r"^(generator|discriminator) has other weights \(\S+ and \d+ more\)$"):
        bench(tiny(**settings)).state.load_state_dict(*state)


@pytest.mark.parametrize("old", ["adam", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("new", ["adam", "rmsprop", "sgd"])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_another_optimiser_begins_anew(bench: Callable[..., Bench], old: str, new: str, momentum: float) -> None:
    before = bench(tiny(**{"optim.name": old}))
    before.step(2)
    after = bench(tiny(**{"optim.name": new, "optim.momentum": momentum}))
    after.state.load_state_dict(*before.state.state_dict())
    assert torch.equal(before.weights(), after.weights())
    after.step(2)
    assert not torch.equal(before.weights(), after.weights()) and bool(torch.isfinite(after.weights()).all())
