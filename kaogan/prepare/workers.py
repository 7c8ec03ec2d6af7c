"""Worker pool: batches of work on processes of this machine or on a Dask cluster, results in order, memory bounded."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kaogan.core.errors import KaoganError
from kaogan.data.cache import cores
from kaogan.data.shards.reading import begin_worker

Batch = TypeVar("Batch", bound=Sequence[Any])
Work = Callable[[Any], list[Any]]  # a batch -> one result an item; a function of a module, so that it can be sent


def map_batches(
    work: Work,
    batches: Iterable[Batch],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    killed: Callable[[], Any],
) -> Iterator[tuple[Batch, list[Any]]]:
    """(batch, results) in order, from at most two batches a worker at a time.

    ``workers``: processes, by default one a core; 1 works in this one. ``scheduler``: the address of a running Dask
    scheduler instead. A batch during which its process dies is tried again item by item; ``killed()`` stands for the
    result of an item that kills every process it meets. Raises KaoganError when the cluster cannot be used.
    """
    workers = workers or cores()
    if scheduler:
        with _Cluster(scheduler) as cluster:
            yield from _in_order(work, batches, cluster, killed)
    elif workers == 1:
        for batch in batches:
            yield batch, work(batch)
    else:
        with _Processes(workers) as processes:
            yield from _in_order(work, batches, processes, killed)


def shares_storage(scheduler: str, marker: Path, places: Sequence[Path]) -> bool:
    """Whether every worker of a Dask cluster sees this machine's storage: the file ``marker``, with the same bytes,
    and all of ``places``. Raises KaoganError when the cluster cannot be used."""
    with _Cluster(scheduler) as cluster:
        return cluster.all(partial(_sees, str(marker), marker.read_bytes(), [str(place) for place in places]))


def _sees(marker: str, content: bytes, places: Sequence[str]) -> bool:
    try:
        return Path(marker).read_bytes() == content and all(Path(place).exists() for place in places)
    except OSError:
        return False


class _Pool(Protocol):
    size: int
    tries: int  # how often an item that was alone may kill before it is given up

    def get(self) -> Executor: ...

    def replace(self, broken: Executor) -> None:
        """Forget a pool one of whose processes has died, unless that was done already."""
        ...


class _Running:
    """One batch that was handed to a pool."""

    def __init__(self, pool: _Pool, work: Work, batch: Sequence[Any]) -> None:
        self.batch = batch
        self._pool = pool
        try:
            self._executor = pool.get()
            self.future: Future[list[Any]] = self._executor.submit(work, batch)
        except BrokenExecutor:  # it broke between being asked for and being used
            pool.replace(self._executor)
            self._executor = pool.get()
            self.future = self._executor.submit(work, batch)

    def result(self) -> list[Any] | None:
        """None when a process died meanwhile."""
        try:
            return self.future.result()
        except Exception as error:
            if isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker":
                self._pool.replace(self._executor)
                return None
            raise


def _in_order(
    work: Work, batches: Iterable[Batch], pool: _Pool, killed: Callable[[], Any]
) -> Iterator[tuple[Batch, list[Any]]]:
    waiting: deque[tuple[Batch, _Running]] = deque()
    remaining = iter(batches)
    try:
        while True:
            while len(waiting) < 2 * pool.size and (batch := next(remaining, None)) is not None:
                waiting.append((batch, _Running(pool, work, batch)))
            if not waiting:
                return
            batch, running = waiting.popleft()
            results = running.result()
            if results is None:
                results = [_alone(work, batch[at : at + 1], pool, killed) for at in range(len(batch))]
            yield batch, results
    finally:
        for _, running in waiting:
            running.future.cancel()


def _alone(work: Work, item: Sequence[Any], pool: _Pool, killed: Callable[[], Any]) -> Any:
    """The result of one item, or what stands for it when it kills its process again and again."""
    for _ in range(pool.tries):
        if (results := _Running(pool, work, item).result()) is not None:
            return results[0]
    return killed()


class _Processes:
    """Processes of this machine, started again when one has died. Unlike multiprocessing's they do not import the
    caller's script, so a script needs no guard."""

    tries = 2  # the first death may be a neighbour's fault; at its second an item was alone in the pool

    def __init__(self, workers: int) -> None:
        self.size = workers
        self._current: Executor | None = None

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._current is not None:
            self._current.shutdown(wait=True, kill_workers=kind is not None)  # type: ignore[call-arg]

    def get(self) -> Executor:
        from loky import ProcessPoolExecutor

        if self._current is None:
            environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            self._current = ProcessPoolExecutor(
                self.size, initializer=begin_worker, initargs=(os.getpid(),), env=environment
            )
        assert self._current is not None
        return self._current

    def replace(self, broken: Executor) -> None:
        if self._current is broken:
            broken.shutdown(wait=False, kill_workers=True)  # type: ignore[call-arg]
            self._current = None


class _Cluster:
    """A Dask cluster that is already running; it replaces its dead workers and repeats their work by itself."""

    tries = 1

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise KaoganError("--scheduler needs Dask; install it with: pip install 'kaogan[dask]'") from None
        try:
            self._client = Client(address, timeout="10s", set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise KaoganError(
                f"no Dask scheduler answers at {address} ({first}); start one or check the address"
            ) from error
        self.size = sum(self._client.nthreads().values())
        self._executor: Executor = self._client.get_executor(pure=False, retries=3)

    def __enter__(self) -> _Cluster:
        if not self.size:
            self._client.close()
            raise KaoganError("the Dask scheduler has no workers; start some")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._executor.shutdown(wait=kind is None)
        self._client.close()

    def get(self) -> Executor:
        return self._executor

    def all(self, question: Callable[[], bool]) -> bool:
        return all(answer is True for answer in self._client.run(question, on_error="return").values())

    def replace(self, broken: Executor) -> None:
        pass
