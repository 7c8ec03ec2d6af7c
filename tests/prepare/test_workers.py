"""Work in other processes: in order, complete, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kaogan.core.errors import KaoganError
from kaogan.data.sources.parts import TarPart
from kaogan.prepare.process_image import process_files
from kaogan.prepare.workers import _sees, map_batches, shares_storage
from tests.prepare.conftest import contents, run, settings, whole
from tests.prepare.work import deadly, refuse, square

ROOT = Path(__file__).parents[2]


def mapped(work: Callable[[Any], list[Any]], **keywords: Any) -> list[int]:
    batches = [[*range(at, at + 4)] for at in range(0, 40, 4)]
    return [result for _, results in map_batches(work, batches, killed=lambda: -1, **keywords) for result in results]


@pytest.mark.parametrize("workers", [1, 2])
def test_in_order(workers: int) -> None:
    assert mapped(square, workers=workers) == [number**2 for number in range(40)]


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_an_item_that_kills_costs_only_itself() -> None:
    assert mapped(deadly, workers=2) == [-1 if number == 13 else number**2 for number in range(40)]


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ValueError, match="a bug"):
        mapped(refuse, workers=2)


def test_few_batches_wait() -> None:
    """Memory is bounded: the batches are made as they are needed."""
    made = 0

    def batches() -> Iterator[list[int]]:
        nonlocal made
        for at in range(50):
            made += 1
            yield [at]

    for done, _ in enumerate(map_batches(square, batches(), workers=2, killed=lambda: -1)):
        assert made <= done + 2 * 2 + 1


SCRIPT = """
import sys, time
from kaogan.prepare import make_settings, prepare
settings = make_settings({"picture": {"crop": "none", "size": 32}, "tags": {"enabled": False}})
def tell(done, total, what):
    print(done, what, flush=True)
    if "reading" in what:
        time.sleep(600)  # until it is killed: the first batch is in the journal, the others are not
prepare([sys.argv[1]], sys.argv[2], settings, workers=2, progress=tell)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_kill_9_then_the_same_command(heap: Path, tmp_path: Path, faces: list[tuple[str, bytes]]) -> None:
    """From a script without a guard. The workers go as well, and the next run completes the set."""
    for copy in range(3):  # enough files for several batches
        for name, data in faces[24:]:
            (heap / f"{copy}{name.replace('/', '-')}").write_bytes(data + bytes(copy))
    out = tmp_path / "set"
    command = [sys.executable, "-c", SCRIPT, str(heap), str(out)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert child.stdout is not None and "reading" in child.stdout.readline()
    helpers = psutil.Process(child.pid).children(recursive=True)
    child.kill()
    child.communicate()
    assert not (out / "labels.csv").exists()
    assert not list((out / "images").glob("*")) if (out / "images").exists() else True
    _, alive = psutil.wait_procs(helpers, timeout=30)
    assert helpers and not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
    outcome = run(heap, out)
    assert 0 < outcome.worked_on < 24 + 3 * 36 and whole(out)
    run(heap, tmp_path / "fresh" / "set")
    assert contents(out) == contents(tmp_path / "fresh" / "set")


# Dask


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as started:
        yield started


def test_on_a_cluster_whose_worker_is_killed(heap: Path, tmp_path: Path, cluster: Any) -> None:
    """Half-way one of two worker processes dies: the result is complete and the same as on one process."""
    pids = list(cluster.scheduler.workers.values())
    killed = threading.Event()

    def kill(done: int, total: int, what: str) -> None:
        if what == "reading pictures" and not killed.is_set():
            victim = next(nanny for nanny in cluster.workers.values())
            os.kill(victim.pid, signal.SIGKILL)
            killed.set()
            time.sleep(0.2)

    import kaogan.prepare.pipeline as pipeline

    before, pipeline._FILES = pipeline._FILES, 3
    try:
        outcome = run(heap, tmp_path / "n" / "set", keywords={"scheduler": cluster.scheduler_address, "progress": kill})
    finally:
        pipeline._FILES = before
    assert killed.is_set() and len(pids) == 2 and outcome.kept == 24
    run(heap, tmp_path / "1" / "set")
    assert contents(tmp_path / "n" / "set") == contents(tmp_path / "1" / "set")


@pytest.mark.parametrize("shared", [True, False])
def test_workers_of_a_cluster_read_and_write_storage_that_they_see(
    heap: Path, tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """Folders, tars and crops do not pass through the client; they do where a worker sees other storage."""
    import kaogan.prepare.pipeline as pipeline

    with tarfile.open(tmp_path / "more.tar", "w") as archive:
        archive.add(heap, "more")
    sent: list[object] = []
    batches = pipeline._batches

    def watched(*args: Any, **options: Any) -> Iterator[list[object]]:
        for batch in batches(*args, **options):
            sent.extend(batch)
            yield batch

    monkeypatch.setattr(pipeline, "_batches", watched)
    if not shared:
        monkeypatch.setattr(pipeline, "shares_storage", lambda *_: False)
    sources = [heap, tmp_path / "more.tar"]
    outcome = run(sources, tmp_path / "n" / "set", keywords={"scheduler": cluster.scheduler_address})
    assert outcome.kept == 24 and outcome.worked_on == len(sent) == 48
    kinds = {type(each) for each in sent}
    assert kinds == ({type(tmp_path), TarPart} if shared else {bytes})
    run(sources, tmp_path / "1" / "set")
    assert contents(tmp_path / "n" / "set") == contents(tmp_path / "1" / "set")
    assert not (tmp_path / "n" / "set" / ".prepare" / "shared").exists()


def test_a_worker_without_the_storage_is_told_from_those_with_it(tmp_path: Path, cluster: Any) -> None:
    marker = tmp_path / "marker"
    marker.write_text("abc")
    assert shares_storage(cluster.scheduler_address, marker, [tmp_path])
    assert not shares_storage(cluster.scheduler_address, marker, [tmp_path / "elsewhere"])
    assert not _sees(str(marker), b"other", []) and not _sees(str(tmp_path / "none"), b"abc", [])
    with pytest.raises(KaoganError, match="does not see store, which the others do"):
        process_files(settings().picture, "store", [], marker=str(tmp_path / "none"))


def test_no_such_cluster() -> None:
    pytest.importorskip("distributed")
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(KaoganError, match="no Dask scheduler answers at") as caught:
            mapped(square, scheduler=address)
        assert "\n" not in str(caught.value)
