"""A run that is broken off, killed or damaged: nothing is lost, the same command goes on."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from kaogan.core import checkpoint
from kaogan.core.atomic_io import TEMPORARY_SUFFIX
from kaogan.core.ema import EMA
from kaogan.core.errors import KaoganError
from kaogan.core.meters import crosses_multiple
from kaogan.core.training_loop import TrainProgress, TrainResult
from kaogan.training.run_logger import RunLogger
from kaogan.training.step import GANTrainer
from tests.training.conftest import make_pictures
from tests.training.dying import killed
from tests.training.runs import contents, newest, stats_of, train

pytestmark = pytest.mark.usefixtures("quick")


# The clock


@pytest.mark.parametrize(
    ("every", "clock", "batch_size", "crosses"),
    [(10, 10, 10, True), (10, 9, 9, False), (10, 19, 9, False), (10, 20, 1, True), (10, 35, 30, True),
     (10, 0, 8, True), (1, 8, 8, True)],
)  # fmt: skip
def test_crosses_multiple(every: int, clock: int, batch_size: int, crosses: bool) -> None:
    assert crosses_multiple(every, clock, batch_size) is crosses


@pytest.mark.parametrize(("n_critic", "reuse"), [(1, False), (3, False), (3, True), (2, True)])
def test_the_generator_moves_every_nth_step(
    tmp_path: Path, n_critic: int, reuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[tuple[int, bool]] = []
    shown: list[int] = []
    generator, discriminator = GANTrainer.generator_step, GANTrainer.discriminator_step
    monkeypatch.setattr(GANTrainer, "generator_step", lambda self, batch, fakes: (
        moves.append((self.state.images_seen, fakes is not None)), generator(self, batch, fakes))[1])  # fmt: skip
    monkeypatch.setattr(GANTrainer, "discriminator_step", lambda self, batch, reuse: (
        shown.append(self.state.images_seen), discriminator(self, batch, reuse))[1])  # fmt: skip
    # In two sessions, the second beginning between two steps of the generator.
    for images in (32, 64):
        train(tmp_path / "run", images=images, **{"training.n_critic": n_critic, "training.reuse_fakes": reuse})
    assert shown == list(range(0, 64, 8))
    assert moves == [(clock, reuse) for clock in range((n_critic - 1) * 8, 64, n_critic * 8)]


def test_the_average_follows_the_generator_by_images_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    updates: list[tuple[int, int]] = []
    monkeypatch.setattr(EMA, "update", lambda self, images_seen, images: updates.append((images_seen, images)))
    train(tmp_path / "run", **{"training.n_critic": 2})
    assert updates == [(16, 16), (32, 16), (48, 16)]


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[TrainProgress] = []
    outcome = train(tmp_path / "run", on_progress=told.append)
    assert [step.images_seen for step in told] == [8, 16, 24, 32, 40, 48] and {step.total for step in told} == {48}
    assert all({"loss_d", "loss_g", "images_per_second"} <= step.stats.keys() for step in told)
    assert outcome == TrainResult(48, True, outcome.seconds, tmp_path / "run") and outcome.seconds > 0


def test_a_batch_that_does_not_divide_the_length(tmp_path: Path) -> None:
    assert train(tmp_path / "run", images=20).images_seen == 24
    assert train(tmp_path / "run", images=20).images_seen == 24, "and it stays there"


def test_checkpoints_before_the_first_line_of_stats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # with plots
    assert train(tmp_path / "run", images=24, **{"run.stats_every": 24, "run.checkpoint_every": 8}).finished
    assert (tmp_path / "run/loss.png").exists()


def test_no_images_at_all(tmp_path: Path) -> None:
    outcome = train(tmp_path / "run", images=0)
    assert outcome.images_seen == 0 and outcome.finished
    assert (tmp_path / "run/model/config.json").exists() and checkpoint.clock_of(newest(tmp_path / "run")) == 0
    assert train(tmp_path / "run", images=16).images_seen == 16


# Going on


def test_a_finished_run_is_left_as_it_is(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    train(tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run/checkpoints").iterdir()}
    assert train(tmp_path / "run").finished
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run/checkpoints").iterdir()} == before
    assert contents(tmp_path / "run") == undisturbed and len(stats_of(tmp_path / "run")) == 6


def test_progress_that_cannot_be_shown_ends_nothing(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    def broken(step: TrainProgress) -> None:
        raise BrokenPipeError

    assert train(tmp_path / "run", on_progress=broken).finished
    assert contents(tmp_path / "run") == undisturbed


def test_a_stop_is_acknowledged_at_once(tmp_path: Path) -> None:
    said: list[int] = []

    def interrupt(step: TrainProgress) -> None:
        if step.images_seen == 8:
            signal.raise_signal(signal.SIGINT)
            assert said == [1], "before the step that is under way has ended"

    train(tmp_path / "run", on_progress=interrupt, on_stop=lambda: said.append(1))
    assert said == [1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("at", [8, 24])
def test_an_interruption_leaves_a_checkpoint(
    tmp_path: Path, number: signal.Signals, at: int, undisturbed: dict[str, bytes]
) -> None:
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    def interrupt(step: TrainProgress) -> None:
        if step.images_seen == at:
            signal.raise_signal(number)

    outcome = train(tmp_path / "run", on_progress=interrupt)
    # The step that was under way is finished; what it showed counts.
    assert not outcome.finished and outcome.images_seen == at + 8
    assert checkpoint.clock_of(newest(tmp_path / "run")) == at + 8 and (tmp_path / "run/model/config.json").exists()
    assert "interrupted at" in (tmp_path / "run/log.txt").read_text()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == handlers
    assert train(tmp_path / "run").finished
    assert contents(tmp_path / "run").items() >= undisturbed.items()
    assert [line["clock"] for line in stats_of(tmp_path / "run")] == [8, 16, 24, 32, 40, 48]


def test_a_second_interruption_is_obeyed_at_once(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    def interrupt(step: TrainProgress) -> None:
        if step.images_seen == 24:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", on_progress=interrupt)
    assert checkpoint.clock_of(newest(tmp_path / "run")) == 16
    assert train(tmp_path / "run").finished and contents(tmp_path / "run") == undisturbed


def test_trains_in_a_thread(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    thread = threading.Thread(target=train, args=(tmp_path / "run",))
    thread.start()
    thread.join()
    assert contents(tmp_path / "run") == undisturbed


# A kill at any moment


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("first", [0, 6])
def test_killed_at_many_moments(tmp_path: Path, first: int, undisturbed: dict[str, bytes]) -> None:
    for moment in range(first, 1000, 13):
        out = tmp_path / str(moment)
        died = killed(train, out, moment)
        for path in checkpoint.find(out / "checkpoints"):
            checkpoint.load(path)
        if moment % 2:  # killed again on the way
            killed(train, out, 40)
        assert train(out).finished
        assert contents(out) == undisturbed, moment
        assert [line["clock"] for line in stats_of(out)] == [8, 16, 24, 32, 40, 48], moment
        assert not list(out.rglob(f"*{TEMPORARY_SUFFIX}*")), moment
        if not died:
            break
    assert moment > 90


def test_leftovers_of_a_kill_are_swept(tmp_path: Path) -> None:
    leftovers = [
        f"run/.recipe{TEMPORARY_SUFFIX}a.yaml",
        f"run/checkpoints/.checkpoint-0000000016{TEMPORARY_SUFFIX}b.safetensors",
    ]
    for name in leftovers:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "run/data.json").write_text("{}")  # killed before the recipe was in its place
    train(tmp_path / "run", images=8)
    assert not any((tmp_path / name).exists() for name in leftovers)


def test_a_kill_between_the_last_grid_or_model_and_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, bytes]
) -> None:
    class Killed(BaseException):
        pass

    def die(self: RunLogger, *_: object) -> None:
        if self.state.images_seen == 48:
            raise Killed

    for name in ("save_grid", "save_model"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            original = getattr(RunLogger, name)
            patch.setattr(RunLogger, name, lambda self, *a, f=original: (die(self), f(self, *a)))
            train(tmp_path / name)
        assert checkpoint.clock_of(newest(tmp_path / name)) == 32, "the checkpoint comes last"
        assert train(tmp_path / name).finished and contents(tmp_path / name) == undisturbed


def test_a_kill_before_the_first_checkpoint(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    run = tmp_path / "run"
    train(run, images=8)
    for path in checkpoint.find(run / "checkpoints"):
        path.unlink()
    (run / "data.json").unlink()  # between two files of the beginning
    with (run / "stats.jsonl").open("a") as stats:
        stats.write('{"clock": 16, "loss')
    assert train(run).finished and contents(run).items() >= undisturbed.items()
    assert [line["clock"] for line in stats_of(run)] == [8, 16, 24, 32, 40, 48]


# Damaged checkpoints


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize("keep_last", [1, 2])
def test_falls_back_on_the_checkpoint_before(tmp_path: Path, keep_last: int, undisturbed: dict[str, bytes]) -> None:
    run = tmp_path / "run"
    train(run, images=32)
    cut(newest(run))
    assert train(run, **{"run.keep_last": keep_last, "run.checkpoint_every": 8}).finished
    assert contents(run).items() >= undisturbed.items()
    log = (run / "log.txt").read_text()
    assert "cannot use checkpoint-0000000032.safetensors" in log and "resumed at 16 images" in log
    good = checkpoint.find(run / "checkpoints")
    assert len(good) == keep_last and all(checkpoint.load(path) for path in good)


def test_a_damaged_checkpoint_never_displaces_a_good_one(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(run, images=32)
    cut(newest(run))
    train(run, images=24, **{"run.keep_last": 1})  # its own newest is older than the damaged one
    assert checkpoint.clock_of(newest(run)) == 24 and checkpoint.load(newest(run))
    assert train(run, images=48).finished


def test_when_none_can_be_used(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(run)
    for path in checkpoint.find(run / "checkpoints"):
        cut(path)
    before = sorted(path.name for path in (run / "checkpoints").iterdir())
    with pytest.raises(KaoganError) as caught:
        train(run)
    message = str(caught.value)
    assert "checkpoint-0000000048.safetensors" in message and "no checkpoint" in message and "\n" not in message
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == before
    with pytest.raises(KaoganError, match="no checkpoint"):
        train(run)  # the folder was let go


# Changed settings


def test_a_model_does_not_tell_where_its_pictures_lay(tmp_path: Path) -> None:
    """It is made to be shared; folders have people's names in them."""
    train(tmp_path / "run", images=8, pictures=replace(make_pictures(), source=f"{tmp_path}/faces.zip"))
    shared = [(tmp_path / "run/model" / name).read_text() for name in ("config.json", "README.md")]
    assert all("faces.zip" in text and str(tmp_path) not in text for text in shared)


@pytest.mark.parametrize("images", [16, 32])  # a finished training, and one that goes on
def test_a_deleted_model_comes_back_at_once(images: int, tmp_path: Path) -> None:
    weights = tmp_path / "run" / "model" / "model.safetensors"
    train(tmp_path / "run", images=16)
    before, found = weights.read_bytes(), list[bytes]()
    shutil.rmtree(weights.parent)
    train(tmp_path / "run", images=images, on_progress=lambda _: found.append(weights.read_bytes()))
    assert (found or [weights.read_bytes()])[0] == before
