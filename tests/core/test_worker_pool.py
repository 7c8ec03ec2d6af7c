"""Processes that share work: in order, each item once, whoever dies."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from kaogan.core.errors import KaoganError
from kaogan.core.worker_pool import WorkerPool
from tests.prepare.work import kill_once, odd, threads_of


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_in_order_with_more_processes_than_items_and_one_that_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with WorkerPool(3) as pool:
        assert list(pool.map(odd, [])) == []
        assert list(pool.map(threads_of, [0])) == [(0, "1")]
        items = [(number, str(tmp_path / "killed")) for number in range(7)]
        assert list(pool.map(kill_once, items)) == [(item, item[0] ** 2) for item in items]
    assert [record.getMessage() for record in caplog.records] == ["a process was killed; what it was at is done again"]


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_work_that_kills_and_work_that_refuses() -> None:
    with pytest.raises(KaoganError, match="--processes"), WorkerPool(2) as pool:
        list(pool.map(odd, [1, signal.SIGKILL, 3]))
    with pytest.raises(KaoganError, match="2 is even"), WorkerPool(1) as pool:
        list(pool.map(odd, [1, 2]))
