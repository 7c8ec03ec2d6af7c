"""Workers of ``kaogan prepare``: processes of this machine, or a Dask cluster; results in order, memory bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

from kaogan.core.errors import KaoganError
from kaogan.core.worker_pool import Batch, Work, WorkerPool, in_order
from kaogan.data.cache import cores


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
            yield from in_order(work, batches, cluster, killed)
    elif workers == 1:
        for batch in batches:
            yield batch, work(batch)
    else:
        with WorkerPool(workers, threads="1") as processes:
            yield from in_order(work, batches, processes, killed)


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
