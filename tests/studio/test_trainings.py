"""Trainings of the page: a real ``kaogan train``, stopped and gone on with; and what is shown of a run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kaogan.core.errors import UsageError
from kaogan.studio import trainings
from kaogan.studio.index import ModelIndex
from kaogan.studio.trainings import TrainingManager

pytestmark = pytest.mark.timeout(300)  # trainings in processes of their own start slowly where many share a core
WORDS = {"recipe": "demo", "name": "mine", "data": "(avatars)", "image_size": "16", "batch_size": "8"}


@pytest.fixture
def found(home: Path) -> ModelIndex:
    return ModelIndex([home])


def wait(ready, seconds=90):
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_training_is_started_stopped_and_gone_on_with(home, tmp_path):
    (tmp_path / "avatars").symlink_to(home / "avatars")  # not followed: the pictures are in the second folder
    model_index = ModelIndex([tmp_path, home])
    mine = TrainingManager(model_index)
    run_name = mine.start(WORDS | {"data": "home/avatars", "images": "1000000"})
    assert run_name == "runs/mine"
    run = tmp_path / "runs/mine"
    with pytest.raises(UsageError, match="one at a time"):
        mine.start(WORDS | {"name": "other"})
    wait(lambda: any(run.glob("grids/*.png")) or not mine.state(run_name)["running"])
    assert mine.state(run_name)["running"], mine.state(run_name)["messages"]
    mine.stop(run_name)
    mine.stop(run_name)  # a second click is not a second Ctrl-C
    wait(lambda: not mine.state(run_name)["running"])
    state = mine.state(run_name)
    stopped = state["clock"]
    assert state["code"] == 130 and "the same command goes on" in " ".join(state["messages"]), state
    assert list((run / "checkpoints").glob("*.safetensors")) and not state["finished"]
    assert "runs/mine" in model_index.found(fresh=True).models

    mine.resume(run_name, {"images": str(stopped + 16)})
    wait(lambda: not mine.state(run_name)["running"])
    state = mine.state(run_name)
    assert (state["code"], state["clock"], state["finished"]) == (0, stopped + 16, True), state
    mine.close()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"recipe": "dcgna"}, "unknown recipe 'dcgna' .did you mean 'dcgan'"),
        ({"name": "../out"}, "the name of a run"),
        ({"name": ""}, "the name of a run"),
        ({"data": "/etc"}, "no set of pictures '/etc'"),
        ({"images": "lots"}, "the images must be a whole number"),
        ({"image_size": "100000"}, "the image size must be from 8 to 1,024"),
        ({"image_size": "17"}, "17"),
        ({"batch_size": "1"}, "the batch size must be from 2"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_starts(found, wrong, message):
    mine = TrainingManager(found)
    before = sorted(mine.home.glob("*"))
    with pytest.raises(UsageError, match=message):
        mine.start(WORDS | wrong)
    assert not mine._trainings and sorted(mine.home.glob("*")) == before


def test_only_the_studios_own_machine_may_train(found):
    mine = TrainingManager(found, allowed=False)
    for order in (lambda: mine.start(WORDS), lambda: mine.stop("any")):
        with pytest.raises(UsageError, match="only from the studio's own machine"):
            order()


def make_run(folder: Path, lines: int, source: str = "avatars") -> Path:
    (folder / "grids").mkdir(parents=True)
    (folder / "recipe.yaml").write_text("{}")
    (folder / "data.json").write_text(json.dumps({"source": source}))
    stats = [
        {"clock": 8 * n, "seconds": n, "loss_d": float(n), "loss_g": None if n % 2 else 1.0}
        for n in range(1, lines + 1)
    ]
    (folder / "stats.jsonl").write_text("".join(json.dumps(line) + "\n" for line in stats) + '{"clock": 9')
    for clock in (8, 16):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / f"grids/{clock:09d}.png")
    return folder


def test_curves_have_few_points_that_are_means(tmp_path):
    run = make_run(tmp_path / "run", 4 * trainings.MAX_POINTS)
    state = trainings.watch(run)
    assert state["clock"] == 32 * trainings.MAX_POINTS and state["grids"] == [8, 16] and state["live"]
    points = state["curves"]["loss_d"]
    assert len(points) == trainings.MAX_POINTS and points[0] == [32.0, 2.5] and "seconds" not in state["curves"]
    assert all(value == 1.0 for _, value in state["curves"]["loss_g"])


def test_the_last_line_says_whether_something_is_wrong(tmp_path):
    run = make_run(tmp_path / "run", 3)
    assert trainings.watch(run)["warning"] == ""
    with (run / "stats.jsonl").open("a") as file:
        file.write("\n" + json.dumps({"clock": 32, "loss_d": 0.0, "warning": "a", "warning_text": "too few"}) + "\n")
    state = trainings.watch(run)
    assert state["warning"] == "too few" and not any("warning" in key for key in state["curves"])


def test_links_out_of_a_run_show_nothing(tmp_path):
    run = make_run(tmp_path / "run", 3)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "pictures/000000099.png")
    (run / "log.txt").symlink_to(tmp_path / "secret")
    (run / "grids/000000099.png").symlink_to(tmp_path / "pictures/000000099.png")
    assert trainings.watch(run)["log"] == [] and trainings.grid_clocks(run) == [8, 16]
    for picture in (run / "grids").iterdir():
        picture.unlink()
    (run / "grids").rmdir()
    (run / "grids").symlink_to(tmp_path / "pictures")
    assert trainings.grid_clocks(run) == []
    with pytest.raises(UsageError, match="no grid at 99 images"):
        trainings.grid_file(run, 99)


def test_a_run_on_pictures_from_elsewhere_is_not_gone_on_with(tmp_path):
    make_run(tmp_path / "home/run", 3, str(tmp_path / "private"))
    mine = TrainingManager(ModelIndex([tmp_path / "home"]))
    with pytest.raises(UsageError, match="not in the studio's folders"):
        mine.resume("run", {})
    with pytest.raises(UsageError, match="was not started here"):
        mine.stop("run")


def test_a_run_of_the_second_folder_is_gone_on_with(tmp_path, monkeypatch):
    class Started:
        running, stopping, lines, process = True, False, (), type("Process", (), {"poll": lambda self: None})()

        def __init__(self, arguments):
            pass

        def stop(self):
            self.stopping = True

    monkeypatch.setattr(trainings, "TrainingProcess", Started)
    (tmp_path / "first").mkdir()
    make_run(tmp_path / "first/other", 3)
    make_run(tmp_path / "second/run", 3)
    mine = TrainingManager(ModelIndex([tmp_path / "first", tmp_path / "second"]))
    mine.resume("second/run", {})
    mine.stop("second/run")
    assert mine.state("second/run")["stopping"] and not mine.state("other")["running"]


def test_on_windows_it_is_asked_to_stop_rather_than_ended(monkeypatch):
    """There SIGTERM ends a process on the spot, and Ctrl-Break reaches its group alone."""
    sent, options = [], {}

    class Process:
        stdout = ()

        def __init__(self, call, **given):
            options.update(given)

        def poll(self):
            return None

        def send_signal(self, number):
            sent.append(number)

    monkeypatch.setattr(trainings.subprocess, "Popen", Process)
    monkeypatch.setattr(trainings.subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    monkeypatch.setattr(trainings.signal, "CTRL_BREAK_EVENT", 1, raising=False)
    trainings.TrainingProcess(["demo"]).stop()
    assert sent == [1] and options["creationflags"] == 0x200
