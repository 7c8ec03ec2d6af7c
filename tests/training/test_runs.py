"""A run's folder through everything that can happen to it: nothing is lost, the same command goes on."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kaogan import recipes
from kaogan.data import PictureSet
from kaogan.errors import KaoganError, UsageError
from kaogan.files import TEMPORARY_SUFFIX
from kaogan.recipe import Recipe
from kaogan.training import checkpoint, loop, report
from kaogan.training.ema import MovingAverage
from kaogan.training.estimate import estimate
from kaogan.training.folder import FREE, RunFolder
from kaogan.training.loop import Outcome, Progress, due
from kaogan.training.souvenirs import Souvenirs
from kaogan.training.step import Steps
from tests.training.conftest import make_pictures
from tests.training.dying import killed
from tests.training.test_steps import tiny

RUN = {
    "stats_every": 8,
    "grid_every": 24,
    "checkpoint_every": 16,
    "grid_pictures": 4,
    "device": "cpu",
    "precision": "fp32",
}


def recipe(images: int = 48, **overrides: Any) -> Recipe:
    return tiny(**{"run": RUN, "training.images": images, "extras.noise.amount": 0.1} | overrides)


def train(out: Path, *, pictures: PictureSet | None = None, **overrides: Any) -> Outcome:
    keywords = {name: overrides.pop(name) for name in ("allow_changes", "on_progress") if name in overrides}
    return loop.train(recipe(**overrides), pictures or make_pictures(), out, **keywords)


def newest(out: Path) -> Path:
    return checkpoint.find(out / "checkpoints")[-1]


def contents(out: Path) -> dict[str, bytes]:
    """What must be the same however often a run was broken off: weights, states and pictures, not times."""
    tensors, state = checkpoint.load(newest(out))
    found = {f"checkpoint/{name}": tensor.numpy().tobytes() for name, tensor in tensors.items()}
    found["clock"] = str(state["clock"]).encode()
    for path in [
        out / "model/model.safetensors",
        out / "model/preview.png",
        out / "real.png",
        *(out / "grids").iterdir(),
    ]:
        found[str(path.relative_to(out))] = path.read_bytes()
    return found


def stats_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plots and films: they are tested elsewhere and take most of the time of a tiny run."""
    monkeypatch.setattr(report, "film", lambda *_: None)
    monkeypatch.setattr(Souvenirs, "_plots", lambda self: None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    train(out)
    return contents(out)


# The clock


@pytest.mark.parametrize(
    ("every", "clock", "before", "is_due"),
    [(10, 10, 0, True), (10, 9, 0, False), (10, 19, 10, False), (10, 20, 19, True), (10, 35, 5, True),
     (10, 0, -8, True), (1, 8, 0, True)],
)  # fmt: skip
def test_due(every: int, clock: int, before: int, is_due: bool) -> None:
    assert due(every, clock, before) is is_due


@pytest.mark.parametrize(("n_critic", "reuse"), [(1, False), (3, False), (3, True), (2, True)])
def test_the_generator_moves_every_nth_step(
    tmp_path: Path, n_critic: int, reuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves: list[tuple[int, bool]] = []
    shown: list[int] = []
    generator, discriminator = Steps.generator, Steps.discriminator
    monkeypatch.setattr(Steps, "generator", lambda self, batch, fakes: (
        moves.append((self.players.clock, fakes is not None)), generator(self, batch, fakes))[1])  # fmt: skip
    monkeypatch.setattr(Steps, "discriminator", lambda self, batch, reuse: (
        shown.append(self.players.clock), discriminator(self, batch, reuse))[1])  # fmt: skip
    # In two sittings, the second beginning between two steps of the generator.
    for images in (32, 64):
        train(tmp_path / "run", images=images, **{"training.n_critic": n_critic, "training.reuse_fakes": reuse})
    assert shown == list(range(0, 64, 8))
    assert moves == [(clock, reuse) for clock in range((n_critic - 1) * 8, 64, n_critic * 8)]


def test_the_average_follows_the_generator_by_images_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    updates: list[tuple[int, int]] = []
    monkeypatch.setattr(MovingAverage, "update", lambda self, clock, images: updates.append((clock, images)))
    train(tmp_path / "run", **{"training.n_critic": 2})
    assert updates == [(16, 16), (32, 16), (48, 16)]


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[Progress] = []
    outcome = train(tmp_path / "run", on_progress=told.append)
    assert [step.clock for step in told] == [8, 16, 24, 32, 40, 48] and {step.total for step in told} == {48}
    assert all({"loss_d", "loss_g", "images_per_second"} <= step.stats.keys() for step in told)
    assert outcome == Outcome(48, True, outcome.seconds, tmp_path / "run") and outcome.seconds > 0


def test_a_batch_that_does_not_divide_the_length(tmp_path: Path) -> None:
    assert train(tmp_path / "run", images=20).clock == 24
    assert train(tmp_path / "run", images=20).clock == 24, "and it stays there"


def test_checkpoints_before_the_first_line_of_stats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # with plots
    assert train(tmp_path / "run", images=24, **{"run.stats_every": 24, "run.checkpoint_every": 8}).finished
    assert (tmp_path / "run/loss.png").exists()


def test_no_images_at_all(tmp_path: Path) -> None:
    outcome = train(tmp_path / "run", images=0)
    assert outcome.clock == 0 and outcome.finished
    assert (tmp_path / "run/model/config.json").exists() and checkpoint._clock(newest(tmp_path / "run")) == 0
    assert train(tmp_path / "run", images=16).clock == 16


# Going on


def test_a_finished_run_is_left_as_it_is(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    train(tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run/checkpoints").iterdir()}
    assert train(tmp_path / "run").finished
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run/checkpoints").iterdir()} == before
    assert contents(tmp_path / "run") == undisturbed and len(stats_of(tmp_path / "run")) == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [8, 24])
def test_an_interruption_leaves_a_checkpoint(
    tmp_path: Path, number: signal.Signals, at: int, undisturbed: dict[str, bytes]
) -> None:
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    def interrupt(step: Progress) -> None:
        if step.clock == at:
            signal.raise_signal(number)

    outcome = train(tmp_path / "run", on_progress=interrupt)
    # The step that was under way is finished; what it showed counts.
    assert not outcome.finished and outcome.clock == at + 8
    assert checkpoint._clock(newest(tmp_path / "run")) == at + 8 and (tmp_path / "run/model/config.json").exists()
    assert "interrupted at" in (tmp_path / "run/log.txt").read_text()
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert train(tmp_path / "run").finished
    assert contents(tmp_path / "run").items() >= undisturbed.items()
    assert [line["clock"] for line in stats_of(tmp_path / "run")] == [8, 16, 24, 32, 40, 48]


def test_a_second_interruption_is_obeyed_at_once(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    def interrupt(step: Progress) -> None:
        if step.clock == 24:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", on_progress=interrupt)
    assert checkpoint._clock(newest(tmp_path / "run")) == 16
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


def test_a_kill_between_the_last_checkpoint_and_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, bytes]
) -> None:
    class Killed(BaseException):
        pass

    def die(self: Souvenirs, *_: object) -> None:
        if self.players.clock == 48:
            raise Killed

    for name in ("grid", "model"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            original = getattr(Souvenirs, name)
            patch.setattr(Souvenirs, name, lambda self, *a, f=original: (die(self), f(self, *a)))
            train(tmp_path / name)
        assert checkpoint._clock(newest(tmp_path / name)) == 48
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
    assert checkpoint._clock(newest(run)) == 24 and checkpoint.load(newest(run))
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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optim.lr": 0.5}, ["optim.lr was 0.0002, now 0.5"]),
        ({"training.batch_size": 4, "run.seed": 3}, ["training.batch_size was 8, now 4", "run.seed was 0, now 3"]),
        ({"generator.family": "kernel5", "generator.width": 4}, ["generator.family was 'dcgan', now 'kernel5'"]),
        ({"objective.real_label": 0.9}, ["objective.real_label was [1.0, 1.0], now [0.9, 0.9]"]),
        ({"run.precision": "bf16"}, ["run.precision was 'fp32', now 'bf16'"]),
    ],
)
def test_changed_settings_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    train(tmp_path / "run", images=16)
    before = (newest(tmp_path / "run").read_bytes(), (tmp_path / "run/recipe.yaml").read_bytes())
    with pytest.raises(UsageError) as caught:
        train(tmp_path / "run", images=16, **changes)
    assert all(word in str(caught.value) for word in [*words, "--allow-changes"]), caught.value
    assert (newest(tmp_path / "run").read_bytes(), (tmp_path / "run/recipe.yaml").read_bytes()) == before


def test_changed_data_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "run", images=16)
    with pytest.raises(UsageError, match=r"data fingerprint was '24-16-3-False', now '25-16-3-False'"):
        train(tmp_path / "run", pictures=make_pictures(25))
    assert train(tmp_path / "run", pictures=make_pictures(25), allow_changes=True).finished
    with pytest.raises(KaoganError, match=r"no checkpoint .* can be used .*generator has other weights"):
        labelled = make_pictures(labelled=True)
        train(tmp_path / "run", pictures=labelled, allow_changes=True, **{"attributes.names": ["hair"]})


def test_what_may_change_freely(tmp_path: Path) -> None:
    train(tmp_path / "run", images=16)
    values = {"name": "other", "summary": "x", "source": "y", "training.images": 48, "run.device": "auto",
              "run.stats_every": 16, "run.grid_every": 16, "run.checkpoint_every": 24, "run.keep_last": 1,
              "run.keep_every": 48, "run.grid_pictures": 9, "run.loss_limit": 1e5,
              "eval": {"share": 0.1}}  # fmt: skip
    assert values.keys() == set(FREE)
    changed = recipes.load(recipe(16).to_dict(), values | {"run.device": "cpu"})
    assert loop.train(changed, make_pictures(), tmp_path / "run").finished
    assert recipes.load(tmp_path / "run/recipe.yaml") == changed


@pytest.mark.parametrize(
    "changes",
    [{"optim.lr": 1e-3}, {"optim.name": "rmsprop"}, {"optim.name": "sgd", "optim.momentum": 0.5},
     {"training.batch_size": 6}, {"objective.name": "hinge"}, {"extras.memory.capacity": 3},
     {"extras.memory.capacity": 99}, {"run.precision": "bf16"}, {"penalties.r1.weight": 1.0},
     {"training.ema_halflife": 0}],
)  # fmt: skip
def test_changes_that_are_allowed(tmp_path: Path, changes: dict[str, Any]) -> None:
    memory = {"extras.memory": {"fraction": 0.5, "start": 8, "lead": 8, "every": 8, "capacity": 10}}
    train(tmp_path / "run", images=24, **memory)
    assert train(tmp_path / "run", images=48, allow_changes=True, **(memory | changes)).finished
    (told,) = [line for line in (tmp_path / "run/log.txt").read_text().splitlines() if "settings changed" in line]
    assert all(f"{key} was " in told for key in changes)
    with pytest.raises(UsageError, match=next(iter(changes))):
        train(tmp_path / "run", images=48, **memory)


def test_settings_of_the_run_that_cannot_be_read(tmp_path: Path) -> None:
    train(tmp_path / "run", images=8)
    for name, content in (("data.json", "{"), ("recipe.yaml", "generator: [")):
        (tmp_path / "run" / name).write_text(content)
        with pytest.raises(KaoganError, match="cannot read the settings of the run"):
            train(tmp_path / "run", images=8)


# Off the rails


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, float], None]]:
    """From ``clock`` on, one weight of the discriminator is ``value``."""

    def arm(clock: int, value: float) -> None:
        step = Steps.discriminator

        def poisoned(self: Steps, *arguments: Any, **keywords: Any) -> Any:
            if self.players.clock >= clock:
                with torch.no_grad():
                    next(self.players.discriminator.parameters())[0, 0, 0, 0] = value
            return step(self, *arguments, **keywords)

        monkeypatch.setattr(Steps, "discriminator", poisoned)

    yield arm


@pytest.mark.parametrize("stats_every", [8, 1000])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_a_loss_that_is_no_number_stops_the_run(
    tmp_path: Path, poison: Callable[[int, float], None], value: float, stats_every: int, undisturbed: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run = tmp_path / "run"
    poison(32, value)
    with pytest.raises(KaoganError) as caught:
        train(run, **{"run.stats_every": stats_every})
    message = str(caught.value)
    for word in (str(run), "the last good checkpoint is checkpoint-0000000032", "--optim.lr", "--precision fp32",
                 "--penalties.r1.weight", "--allow-changes"):  # fmt: skip
        assert word in message
    assert "\n" not in message and message in (run / "log.txt").read_text()
    assert checkpoint._clock(newest(run)) == 32 and all(
        bool(torch.isfinite(tensor.float()).all()) for tensor in checkpoint.load(newest(run))[0].values()
    )
    assert json.loads((run / "model/config.json").read_text())["clock"] == 32
    # The same command without the poison, or with what was advised, goes on.
    monkeypatch.undo()
    assert train(run, allow_changes=True, **{"penalties.r1.weight": 1.0, "optim.lr": 1e-4}).finished


def test_a_runaway_loss_stops_the_run_and_is_never_saved(tmp_path: Path) -> None:
    for stats_every, out in ((8, tmp_path / "a"), (1000, tmp_path / "b")):
        with pytest.raises(
            KaoganError, match=r"loss_d ran away to .*no checkpoint had been written yet\. Try again with a"
        ):
            train(out, **{"run.loss_limit": 0.1, "run.stats_every": stats_every})
        assert checkpoint.find(out / "checkpoints") == []
    train(tmp_path / "c", images=16)
    with pytest.raises(KaoganError, match="last good checkpoint is checkpoint-0000000016"):
        train(tmp_path / "c", **{"run.loss_limit": 0.1})
    assert train(tmp_path / "c").finished


# The disk


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("owner", "name"),
    [(checkpoint, "save_file"), (os, "fsync"), (Path, "replace"), (RunFolder, "append_stats"), (Souvenirs, "model"),
     (Souvenirs, "line")],
)  # fmt: skip
def test_a_full_disk_keeps_the_checkpoint_before(
    tmp_path: Path, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, bytes]
) -> None:
    run = tmp_path / "run"
    train(run, images=16)
    before = newest(run).read_bytes()

    def fill(step: Progress) -> None:
        if step.clock == 24:
            monkeypatch.setattr(owner, name, full)

    with pytest.raises(KaoganError, match=r"the disk is full.*run the same command again"):
        train(run, on_progress=fill)
    monkeypatch.undo()
    assert newest(run).read_bytes() == before or checkpoint.load(newest(run))
    assert not list(run.rglob(f"*{TEMPORARY_SUFFIX}*"))
    monkeypatch.setattr(report, "film", lambda *_: None)
    monkeypatch.setattr(Souvenirs, "_plots", lambda self: None)
    assert train(run).finished
    assert contents(run).items() >= undisturbed.items()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, Callable[[str], None]]]:
    disk = tmp_path / "a small disk"
    disk.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", disk], check=False).returncode
    ):
        pytest.skip("may not mount a disk")
    try:
        yield disk, lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True) and None
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_that_is_really_full(
    small_disk: tuple[Path, Callable[[str], None]], undisturbed: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    disk, resize = small_disk
    run = disk / "run"
    # The generator and both optimisers' memories are some 60 KB: every checkpoint is kept until there is no room.
    with pytest.raises(KaoganError, match="the disk is full"):
        train(run, images=400, **{"run.keep_last": 99})
    kept = checkpoint.find(run / "checkpoints")
    assert kept and all(checkpoint.load(path) for path in kept)
    assert not list(run.rglob(f"*{TEMPORARY_SUFFIX}*"))
    with pytest.raises(KaoganError, match="the disk is full"):
        train(run, images=400, **{"run.keep_last": 99})
    assert "Traceback" not in capfd.readouterr().err
    resize("8m")
    assert train(run, images=400).finished
    assert not list(run.rglob(f"*{TEMPORARY_SUFFIX}*")) and checkpoint.load(newest(run))


def test_a_full_log_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    run = tmp_path / "run"
    run.mkdir()
    (run / "log.txt").symlink_to("/dev/full")
    with pytest.raises(KaoganError, match=r"the disk is full: could not write .*log\.txt"):
        train(run)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(KaoganError, match="no permission"):
            train(tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    first = RunFolder(tmp_path / "run")
    with pytest.raises(KaoganError, match="is in use by another kaogan"):
        train(tmp_path / "run")
    first.close()
    assert train(tmp_path / "run", images=8).finished
    RunFolder(tmp_path / "run").close()


def test_folders_that_are_something_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.png").write_text("mine")
    with pytest.raises(UsageError, match="is a file; --out must name a folder"):
        train(tmp_path / "file")
    with pytest.raises(UsageError, match="is not empty and holds no run"):
        train(tmp_path / "pictures")
    with pytest.raises(KaoganError, match="file"):
        train(tmp_path / "file" / "below")
    assert (tmp_path / "file").read_text() == (tmp_path / "pictures/a.png").read_text() == "mine"
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["a.png"]
    (tmp_path / "empty").mkdir()
    assert train(tmp_path / "empty", images=8).finished


@pytest.mark.parametrize("name", ["two words", "顔", "[red]", "it's"])
def test_names_of_folders(tmp_path: Path, name: str) -> None:
    assert train(tmp_path / name / "run", images=8).path == tmp_path / name / "run"


def test_a_set_that_is_too_small(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 7 usable pictures, fewer than one batch of 8"):
        train(tmp_path / "run", pictures=make_pictures(7))
    assert not (tmp_path / "run").exists()


# What it costs


def test_estimate_trains_nothing(tmp_path: Path) -> None:
    cost = estimate(recipe(), make_pictures())
    players = loop.build_players(recipe(), make_pictures().schema, torch.device("cpu"), "fp32")
    assert cost.generator == sum(p.numel() for p in players.generator.parameters())
    assert cost.discriminator == sum(p.numel() for p in players.discriminator.parameters())
    assert cost.images_per_second > 0 and cost.memory > 2**20 and cost.steps == 2
    assert (cost.device, cost.precision) == ("cpu", "fp32")
    with pytest.raises(UsageError, match="fewer than one batch"):
        estimate(recipe(), make_pictures(7))
    for settings in ({"training.n_critic": 3}, {"training.n_critic": 2, "training.reuse_fakes": True}):
        assert estimate(recipe(**settings), make_pictures()).images_per_second > 0
