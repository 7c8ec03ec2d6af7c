"""What a process knows of its fellows before it meets them; the exchange itself: tests/training/test_distributed.py."""

from __future__ import annotations

from datetime import timedelta

import pytest
import torch

from kaogan.cli._processes import count_processes, without_processes
from kaogan.cli._run import run_app
from kaogan.core import distributed
from kaogan.core.errors import KaoganError, ProcessLostError, UsageError


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


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("[pair.cc:553] Connection closed by peer [127.0.0.1]:6042", ProcessLostError, "has ended"),
        ("read: Connection reset by peer", ProcessLostError, "has ended"),
        ("Timed out waiting 1000ms for recv operation to complete", ProcessLostError, "has ended"),
        ("ncclRemoteError: possibly due to a remote process exiting prematurely", ProcessLostError, "has ended"),
        ("NCCL error in: N.cpp:1, invalid usage\nLast error:\nDuplicate GPU detected : rank 1 and rank 0\n"
         "Exception raised from check at N.cpp:1\nframe #0", KaoganError, "rank 1 and rank 0$"),
        ("CUDA error: an illegal memory access was encountered", KaoganError, "illegal memory access"),
        ("DefaultCPUAllocator: can't allocate memory", RuntimeError, "can't allocate"),
    ],
)  # fmt: skip
def test_only_what_a_dead_process_causes_counts_as_one(
    text: str, kind: type[Exception], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr("torch.distributed.broadcast", fail)
    with pytest.raises(kind, match=told) as caught:
        distributed.Processes(0, 2)._from_first(torch.zeros(1))
    assert type(caught.value) is kind and "\n" not in str(caught.value) and "frame" not in str(caught.value)


class Store(dict[str, bytes]):
    """In the place of PyTorch's."""

    def add(self, key: str, amount: int) -> int:
        self[key] = str(int(self.get(key, b"0")) + amount).encode()
        return int(self[key])

    def set(self, key: str, value: str) -> None:
        self[key] = value.encode()

    def get(self, key: str, default: bytes = b"75") -> bytes:
        return super().get(key, default)


def test_one_of_those_left_says_that_a_process_died_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def app(*_: object, **__: object) -> None:
        raise ProcessLostError("another process of this run has ended\n(closed)")

    def ended() -> tuple[int | str | None, str]:
        with pytest.raises(SystemExit) as exit_:
            run_app(app, "kaogan")  # type: ignore[arg-type]
        return exit_.value.code, capsys.readouterr().err

    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["kaogan"])
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(distributed, "_store", Store())
    assert ended() == (75, "kaogan: another process of this run has ended (closed)\n")
    assert ended() == (75, "")
    monkeypatch.setattr(distributed, "_store", Store())
    assert distributed.report_failure(2)
    assert ended() == (2, ""), "the one that failed says why"
