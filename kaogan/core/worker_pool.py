"""Worker pool: batches of work on processes of this machine, results in order, memory bounded."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

from kaogan.core.errors import KaoganError
from kaogan.core.notes import note

Batch = TypeVar("Batch", bound=Sequence[Any])
Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Any], list[Any]]  # a batch -> one result an item; a function of a module, so that it can be sent


class Pool(Protocol):
    size: int
    tries: int  # how often an item that was alone may kill before it is given up

    def get(self) -> Executor: ...

    def replace(self, broken: Executor) -> None:
        """Forget a pool one of whose processes has died, unless that was done already."""
        ...


class WorkerPool:
    """Processes of this machine, started when work comes, and again when one has died. Unlike multiprocessing's they
    do not import the caller's script, so a script needs no guard.

    Each computes with one thread, unless OMP_NUM_THREADS says otherwise, so that results are the same bits on any
    number of them. ``begin`` is called in each before its first work, in pools whose processes load models.
    """

    tries = 2  # the first death may be a neighbour's fault; at its second an item was alone in the pool

    def __init__(self, size: int, begin: Callable[[], object] | None = None, threads: str | None = None) -> None:
        self.size, self._begin = size, begin
        self._threads = threads or os.environ.get("OMP_NUM_THREADS", "1")
        self._current: Executor | None = None

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._current is not None:
            self._current.shutdown(wait=True, kill_workers=kind is not None)  # type: ignore[call-arg]

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """(item, its result) in order; ``work`` is a function of a module, or made of such, so that it can be sent.

        Work during which a process dies is done again. Raises KaoganError when that kills, too.
        """
        batches = ([item] for item in items)
        for batch, results in in_order(partial(_each, work), batches, self, _killed):
            yield batch[0], results[0]

    def get(self) -> Executor:
        from loky import ProcessPoolExecutor

        if self._current is None:
            environment = {"OMP_NUM_THREADS": self._threads, "OPENBLAS_NUM_THREADS": self._threads}
            if self._begin is not None:  # a process with models has grown, not leaked: loky would start it anew
                environment["LOKY_MAX_MEMORY_LEAK_SIZE"] = "1e12"
            begin = (os.getpid(), self._begin)
            self._current = ProcessPoolExecutor(self.size, initializer=begin_worker, initargs=begin, env=environment)
        assert self._current is not None
        return self._current

    def replace(self, broken: Executor) -> None:
        if self._current is broken:
            note("a process was killed; what it was at is done again")
            broken.shutdown(wait=False, kill_workers=True)  # type: ignore[call-arg]
            self._current = None


def begin_worker(parent: int, begin: Callable[[], object] | None = None) -> None:
    """In each process: Ctrl-C is the parent's business, and when the parent is gone there is nothing left to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if begin is not None:
        begin()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes that are started inside ignore Ctrl-C from their first moment on."""
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_KEPT: dict[str, Any] = {}


def keep(key: str, load: Callable[[], Result]) -> Result:
    """What ``load`` gives, once in this process for each ``key``: what a worker needs for all its work."""
    if key not in _KEPT:
        _KEPT[key] = load()
    found: Result = _KEPT[key]
    return found


def own_device(device: str) -> str:
    """In a process of a pool: "cuda" as one card of several, so that the processes share the cards."""
    if device == "cuda":
        import torch

        number = multiprocessing.current_process().name.rpartition("-")[2]  # LokyProcess-1, -2, ...
        if number.isdecimal() and torch.cuda.device_count() > 1:
            return f"cuda:{int(number) % torch.cuda.device_count()}"
    return device


def in_order(
    work: Work, batches: Iterable[Batch], pool: Pool, killed: Callable[[], Any]
) -> Iterator[tuple[Batch, list[Any]]]:
    """(batch, results) in order, from at most two batches a process at a time.

    A batch during which its process dies is tried again item by item; ``killed()`` stands for the result of an item
    that kills every process it meets.
    """
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


class _Running:
    """One batch that was handed to a pool."""

    def __init__(self, pool: Pool, work: Work, batch: Sequence[Any]) -> None:
        self.batch = batch
        self._pool = pool
        try:
            self._submit(work)
        except BrokenExecutor:  # it broke between being asked for and being used
            pool.replace(self._executor)
            self._submit(work)

    def _submit(self, work: Work) -> None:
        self._executor = self._pool.get()
        with _interrupts_ignored():  # the first work starts the processes
            self.future: Future[list[Any]] = self._executor.submit(work, self.batch)

    def result(self) -> list[Any] | None:
        """None when a process died meanwhile."""
        try:
            return self.future.result()
        except Exception as error:
            if isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker":
                self._pool.replace(self._executor)
                return None
            raise


def _alone(work: Work, item: Sequence[Any], pool: Pool, killed: Callable[[], Any]) -> Any:
    """The result of one item, or what stands for it when it kills its process again and again."""
    for _ in range(pool.tries):
        if (results := _Running(pool, work, item).result()) is not None:
            return results[0]
    return killed()


def _each(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [work(item) for item in items]


def _killed() -> Any:
    raise KaoganError(
        "a process was killed again and again, perhaps for want of memory; a smaller number of --processes needs less"
    )
