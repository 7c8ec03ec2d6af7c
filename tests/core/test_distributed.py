"""What a process knows of its fellows before it meets them; the exchange itself: tests/training/test_distributed.py."""

from __future__ import annotations

from datetime import timedelta

import pytest
import torch

from kaogan.cli._processes import count_processes, without_processes
from kaogan.core import distributed
from kaogan.core.errors import KaoganError, UsageError


@pytest.fixture(autouse=True)
def _no_fellows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)


def test_tasks_of_srun_meet_where_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = {"PROCID": "5", "STEP_NUM_TASKS": "8", "LOCALID": "1", "STEP_TASKS_PER_NODE": "4(x2)"}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    distributed._understand_slurm()
    assert not distributed.expected(), "an allocation alone starts no group"
    monkeypatch.setenv("MASTER_ADDR", "node1")
    distributed._understand_slurm()
    environment = distributed.os.environ
    found = [environment[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")]
    assert found == ["5", "8", "1", "4", "29500"] and distributed.expected()
    assert not distributed.report_failure(2), "before they meet, all fail alike, and the first one speaks"


def test_without_a_route_to_the_others_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "MEETING", timedelta(seconds=0.5))
    where = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "9"}  # nobody listens there
    for name, value in where.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(KaoganError, match=r"^cannot meet .+ at localhost:9: ") as caught:
        distributed.join()
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)


def test_alone_there_is_nothing_to_exchange() -> None:
    alone, rows = distributed.ALONE, torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    assert alone.sum_in_order(rows).tolist() == [4.0, 7.0] and alone.gather(rows) is rows
    assert alone.any(True) and not alone.any(False) and alone.agree(float("1")) and alone.mean([1.5]) == [1.5]
    assert distributed.join() is alone and distributed.report_failure(1)


def test_numbers_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 5)
    assert [count_processes("all", shards, "cpu") for shards in (1, 4, 6, 7)] == [1, 4, 3, 1]
    assert count_processes("2", 4, "cpu") == 2
    for wanted, text in (("3", "cannot share evenly"), ("0", "or 'all'"), ("two", "or 'all'")):
        with pytest.raises(UsageError, match=text):
            count_processes(wanted, 4, "cpu")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="already one of several processes"):
        count_processes("2", 4, "cpu")


def test_the_option_is_not_passed_on() -> None:
    assert without_processes(["train", "--processes", "2", "x", "--processes=all", "--seed", "1"]) == [
        "train", "x", "--seed", "1",
    ]  # fmt: skip
