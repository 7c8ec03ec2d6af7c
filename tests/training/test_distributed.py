"""One run on several processes: equal bits, one voice, and what happens when one of them ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from kaogan.core import checkpoint
from kaogan.core.distributed import ALONE
from tests.training.ranks import RECIPES, digests, go_on
from tests.training.runs import contents

pytestmark = pytest.mark.timeout(900)  # processes start slowly on a busy machine
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[int, dict[str, dict[str, str]]], Path]:
    """Digests of every recipe by number of processes, and a run of 4, then 1, then 2 processes."""
    folder = tmp_path_factory.mktemp("groups")
    run = folder / "run"
    found = {4: _group(4, folder, run, 16)}
    go_on(run, 32, ALONE)
    found[2] = _group(2, folder, run, 48)
    return found, run


def _group(count: int, folder: Path, run: Path, images: int) -> dict[str, dict[str, str]]:
    target = folder / f"{count}.json"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "KAOGAN_CACHE": str(folder / "cache")}
    call = [*TORCHRUN, str(count), "-m", "tests.training.ranks", str(target), str(run), str(images)]
    ended = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=400)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return dict(json.loads(target.read_text()))


@pytest.mark.parametrize("name", RECIPES)
def test_the_bits_do_not_depend_on_the_number_of_processes(
    groups: tuple[dict[int, dict[str, dict[str, str]]], Path], name: str
) -> None:
    alone = digests(name, ALONE)
    for count, found in groups[0].items():
        different = [key for key, digest in alone.items() if found[name][key] != digest]
        assert not different, f"{count} processes: {different[:5]}"
        assert found[name].keys() == alone.keys()


def test_a_run_goes_on_with_another_number_of_processes(
    groups: tuple[dict[int, dict[str, dict[str, str]]], Path], tmp_path: Path
) -> None:
    go_on(tmp_path / "alone", 48, ALONE)
    expected, found = contents(tmp_path / "alone"), contents(groups[1])
    assert [key for key in expected if expected[key] != found[key]] == []  # grids more: one where each session ended


# The command line

CALL = [
    sys.executable, "-m", "kaogan", "train", "dcgan", "--image-size", "16", "--batch-size", "8", "--device", "cpu",
    "--precision", "fp32", "--generator.width", "4", "--discriminator.width", "4", "--latent.size", "8",
    "--data.avatars", "16", "--run.grid_pictures", "4", "--run.checkpoint_every", "16", "--run.grid_every", "1000000",
    "--training.shards", "4",
]  # fmt: skip


def _wait_for(what: str, times: int, log: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and process.poll() is None:
        if log.exists() and log.read_text().count(what) >= times:
            return
        time.sleep(0.1)
    raise AssertionError(f"no '{what}': {process.communicate(timeout=30) if process.poll() is not None else 'in time'}")


def test_a_killed_process_is_started_again_and_a_stop_is_agreed(tmp_path: Path) -> None:
    out, log = tmp_path / "run", tmp_path / "run/log.txt"
    call = [*CALL, "--images", "10000000", "--processes", "2", "--out", str(out)]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _wait_for("saved at", 1, log, process)
    second = next(p for p in psutil.Process(process.pid).children() if p.environ().get("RANK") == "1")
    second.send_signal(signal.SIGKILL)
    _wait_for("resumed at", 1, log, process)
    _wait_for("saved at", log.read_text().count("saved at") + 1, log, process)
    process.send_signal(signal.SIGTERM)
    told, complaints = process.communicate(timeout=400)
    assert process.returncode == 130
    assert told.count("the same command goes on from here") == 1
    assert complaints.count("was killed; all start again") == 1 and "Traceback" not in complaints
    clock = int(re.findall(r"Stopped at ([\d,]+) images", told)[0].replace(",", ""))
    state = checkpoint.load(checkpoint.find(out / "checkpoints")[-1])[1]
    assert state["clock"] == clock > 0 and not list(out.rglob("*.tmp*"))


def test_one_line_from_one_process(tmp_path: Path) -> None:
    """Only the first process opens the folder; the second hears of its end."""
    (tmp_path / "file").write_text("no folder")
    call = [*CALL, "--images", "16", "--processes", "2", "--out", str(tmp_path / "file")]
    ended = subprocess.run(call, capture_output=True, text=True, timeout=400)
    assert ended.returncode == 2
    assert ended.stderr == f"kaogan: {tmp_path / 'file'} is a file; --out must name a folder\n"
