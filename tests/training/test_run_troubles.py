"""A run whose settings, data, losses, disk or folder are not as they should be: one line says so, nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.summary.writer.record_writer import RecordWriter

from kaogan.config import recipes
from kaogan.core import checkpoint
from kaogan.core.atomic_io import TEMPORARY_SUFFIX
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.training_loop import TrainProgress
from kaogan.training import cost as cost_module
from kaogan.training import plots
from kaogan.training.cost import estimate
from kaogan.training.run_dir import RESUMABLE_KEYS, RunDir
from kaogan.training.run_logger import RunLogger
from kaogan.training.sampler import InfiniteSampler
from kaogan.training.state import build_train_state
from kaogan.training.step import GANTrainer
from kaogan.training.train import train as run_training
from tests.training.conftest import make_pictures
from tests.training.runs import contents, newest, recipe, train
from tests.training.tiny import tiny

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optim.lr": 0.5}, ["optim.lr was 0.0002, now 0.5"]),
        ({"training.batch_size": 4, "run.seed": 3}, ["training.batch_size was 8, now 4", "run.seed was 0, now 3"]),
        ({"generator.family": "keras_wgan", "generator.width": 4}, ["generator.family was 'dcgan', now 'keras_wgan'"]),
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


def test_many_changes_are_told_in_a_line_that_can_be_read(tmp_path: Path) -> None:
    train(tmp_path / "run", images=16)
    many = {f"optim.{key}": 0.25 for key in ("lr", "alpha", "momentum", "eps", "weight_decay")}
    many |= {"extras.lecam.weight": 1.0, "penalties.r1.weight": 1.0, "data.horizontal_flip": True}
    with pytest.raises(UsageError, match=r"; and 2 more\. .*recipe\.yaml and data\.json there$") as caught:
        train(tmp_path / "run", **many)
    assert str(caught.value).count(" was ") == 1 + 6


def test_a_changed_list_of_networks_is_refused_by_name(tmp_path: Path) -> None:
    def go_on(*sizes: int) -> None:
        networks = [{"name": "tagger", "size": size, "taps": [0]} for size in sizes]
        judge = {"family": "projected", "width": 4, "max_width": 8, "feature_networks": networks}
        run_training(
            recipes.load(recipe(images=16).to_dict() | {"discriminator": judge}), make_pictures(), tmp_path / "run"
        )

    go_on(16)
    with pytest.raises(UsageError) as caught:
        go_on(16, 32)
    assert "was tagger (size 16, taps [0]), now tagger (size 16, taps [0]), tagger (size 32, taps [0])" in str(
        caught.value
    )


def test_changed_data_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "run", images=16)
    with pytest.raises(UsageError, match=r"data fingerprint was '24-16-3-False', now '25-16-3-False'"):
        train(tmp_path / "run", pictures=make_pictures(25))
    assert train(tmp_path / "run", pictures=make_pictures(25), allow_changes=True).finished
    labelled = make_pictures(labelled=True)
    with pytest.raises(UsageError, match=r"data attributes was \[\], now hair \(\d+ values\)[,.]"):
        train(tmp_path / "run", pictures=labelled, **{"attributes.names": ["hair"]})
    with pytest.raises(KaoganError, match=r"generator has other weights.*former settings again: .*now hair"):
        train(tmp_path / "run", pictures=labelled, allow_changes=True, **{"attributes.names": ["hair"]})


def test_what_may_change_freely(tmp_path: Path) -> None:
    train(tmp_path / "run", images=16)
    values = {"name": "other", "summary": "x", "source": "y", "training.images": 48, "run.device": "auto",
              "run.stats_every": 16, "run.grid_every": 16, "run.checkpoint_every": 24, "run.keep_last": 1,
              "run.keep_every": 48, "run.grid_pictures": 9, "run.licence": "cc0-1.0", "data.workers": 1,
              "run.loss_limit": 1e5, "run.latent_filter": True, "run.deterministic": True, "run.compile": True,
              "eval": {"share": 0.1}}  # fmt: skip
    assert values.keys() == set(RESUMABLE_KEYS)
    changed = recipes.load(recipe(16).to_dict(), values | {"run.device": "cpu", "run.compile": False})
    assert run_training(changed, make_pictures(), tmp_path / "run").finished
    assert recipes.load(tmp_path / "run/recipe.yaml") == changed


@pytest.mark.parametrize(
    "changes",
    [{"optim.lr": 1e-3}, {"optim.name": "rmsprop"}, {"optim.name": "sgd", "optim.momentum": 0.5},
     {"training.batch_size": 6}, {"objective.name": "hinge"}, {"extras.replay.capacity": 3},
     {"extras.replay.capacity": 99}, {"run.precision": "bf16"}, {"penalties.r1.weight": 1.0},
     {"training.ema_halflife": 0}],
)  # fmt: skip
def test_changes_that_are_allowed(tmp_path: Path, changes: dict[str, Any]) -> None:
    memory = {"extras.replay": {"fraction": 0.5, "start": 8, "lead": 8, "every": 8, "capacity": 10}}
    train(tmp_path / "run", images=24, **memory)
    assert train(tmp_path / "run", images=48, allow_changes=True, **(memory | changes)).finished
    (told,) = [line for line in (tmp_path / "run/log.txt").read_text().splitlines() if "settings changed" in line]
    assert all(f"{key} was " in told for key in changes)
    with pytest.raises(UsageError, match=next(iter(changes))):
        train(tmp_path / "run", images=48, **memory)


def test_a_refused_resume_changes_nothing(tmp_path: Path) -> None:
    """Neither other networks under --allow-changes nor damaged checkpoints may cost the settings that were there."""

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}

    train(tmp_path / "run", images=16)
    before = files()
    with pytest.raises(KaoganError, match="generator has other weights"):
        train(tmp_path / "run", allow_changes=True, **{"generator.width": 5})
    assert files() == before
    newest(tmp_path / "run").write_bytes(b"damaged")
    before = files()
    with pytest.raises(KaoganError, match="no checkpoint"):
        train(tmp_path / "run", allow_changes=True, **{"optim.lr": 0.1})
    assert files() == before


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
        step = GANTrainer.discriminator_step

        def poisoned(self: GANTrainer, *arguments: Any, **keywords: Any) -> Any:
            if self.state.images_seen >= clock:
                with torch.no_grad():
                    next(self.state.discriminator.parameters())[0, 0, 0, 0] = value
            return step(self, *arguments, **keywords)

        monkeypatch.setattr(GANTrainer, "discriminator_step", poisoned)

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
    assert checkpoint.clock_of(newest(run)) == 32 and all(
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
    [(checkpoint, "save_file"), (os, "fsync"), (Path, "replace"), (RunDir, "append_stats"), (RunLogger, "save_model"),
     (RunLogger, "log_stats")],
)  # fmt: skip
def test_a_full_disk_keeps_the_checkpoint_before(
    tmp_path: Path, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, bytes]
) -> None:
    run = tmp_path / "run"
    train(run, images=16)
    before = newest(run).read_bytes()

    def fill(step: TrainProgress) -> None:
        if step.images_seen == 24:
            monkeypatch.setattr(owner, name, full)

    with pytest.raises(KaoganError, match=r"the disk is full.*run the same command again"):
        train(run, on_progress=fill)
    monkeypatch.undo()
    assert newest(run).read_bytes() == before or checkpoint.load(newest(run))
    assert not list(run.rglob(f"*{TEMPORARY_SUFFIX}*"))
    monkeypatch.setattr(plots, "film", lambda *_: None)
    monkeypatch.setattr(RunLogger, "_plots", lambda self: None)
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


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_in_tensorboards_thread_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordWriter, "write", full)
    with pytest.raises(KaoganError, match="the disk is full"):
        train(tmp_path / "run")


def test_names_in_the_log_are_printable(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run") as folder:
        folder.log.info("skipped %s", "a\x1b]0;title\x07.png")
    assert r"skipped a\x1b]0;title\x07.png" in (tmp_path / "run/log.txt").read_text()


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
    first = RunDir(tmp_path / "run")
    with pytest.raises(KaoganError, match="is in use by another kaogan"):
        train(tmp_path / "run")
    first.close()
    assert train(tmp_path / "run", images=8).finished
    RunDir(tmp_path / "run").close()


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
    state = build_train_state(recipe(), make_pictures().schema, torch.device("cpu"), "fp32")
    assert cost.generator == sum(p.numel() for p in state.generator.parameters())
    assert cost.discriminator == sum(p.numel() for p in state.discriminator.parameters())
    assert cost.images_per_second > 0 and cost.memory > 2**20 and cost.steps == 2
    assert (cost.device, cost.precision) == ("cpu", "fp32")
    with pytest.raises(UsageError, match="fewer than one batch"):
        estimate(recipe(), make_pictures(7))
    for settings in ({"training.n_critic": 3}, {"training.n_critic": 2, "training.reuse_fakes": True}):
        assert estimate(recipe(**settings), make_pictures()).images_per_second > 0


def test_a_penalty_that_is_due_now_and_then_costs_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which a step takes a second, and nine more with the penalty."""
    clock = [0.0]

    def step(trainer: GANTrainer) -> bool:
        batch = trainer.state.images_seen // trainer.recipe.training.batch_size
        clock[0] += 10.0 if batch % 4 == 0 else 1.0
        return True

    monkeypatch.setattr(GANTrainer, "step", step)
    monkeypatch.setattr(cost_module, "_now", lambda device: clock[0])
    settings = {"penalties.r1.weight": 1.0, "penalties.r1.every": 4}
    found = estimate(recipe(**settings), make_pictures())
    assert found.images_per_second == pytest.approx(4 * recipe().training.batch_size / 13)


def test_a_generator_that_grows_costs_what_it_costs_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cheaper first stage says little of a run of which it is the smaller part. The clock jumps, but the batches
    come in turn: on a card each has been read ahead."""
    seen, asked = [], []
    step, at = GANTrainer.step, InfiniteSampler.at

    def recorded(trainer: GANTrainer) -> bool:
        updated = step(trainer)
        seen.append((trainer.state.images_seen, trainer.state.generator.grown))
        return updated

    monkeypatch.setattr(GANTrainer, "step", recorded)
    monkeypatch.setattr(InfiniteSampler, "at", lambda *all_: asked.append(all_[1]) or at(*all_))
    growing = {"family": "growing", "width": 4, "base_size": 8, "grow_at": 1001}
    of = recipes.load(tiny().to_dict() | {"generator": growing})
    estimate(of, make_pictures())
    batch = of.training.batch_size
    first = -(-1001 // batch) * batch
    assert seen == [(first, True), (first + batch, True), (first + 2 * batch, True)]
    assert asked == [0, batch, 2 * batch]
