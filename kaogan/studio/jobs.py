"""Job queues with one thread each, and long jobs with their progress and files."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from kaogan.core.errors import KaoganError, is_out_of_memory

T = TypeVar("T")
PREFIX, LOCK = "kaogan-studio-", ".lock"  # of a studio's folder among the temporary files
JUST_MADE = 10  # seconds in which a folder may not be locked yet
MAX_FINISHED = 12  # finished jobs whose files are kept


class BusyError(KaoganError):
    """The queue is full."""


class StoppedError(KaoganError):
    """Nobody waits for it any more."""


class JobQueue:
    """One worker; at most ``waiting`` more calls wait for it, so that memory and waiting are bounded."""

    def __init__(self, name: str, waiting: int) -> None:
        self.name, self.limit = name, waiting + 1
        self._pool = ThreadPoolExecutor(1, f"kaogan-{name}")
        self._lock = threading.Lock()
        self._inside = 0

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Raises BusyError."""
        with self._lock:
            if self._inside >= self.limit:
                raise BusyError(f"the studio is busy: {self._inside} calls wait for {self.name}; try again in a moment")
            self._inside += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._leave)
        return future

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _leave(self, future: Future[Any]) -> None:
        with self._lock:
            self._inside -= 1


@dataclass
class Job:
    """Something that takes long. ``files`` are those that it has made, by the name for the download."""

    id: str
    folder: Path
    state: str = "waiting"  # waiting, running, done, failed, cancelled
    done: int = 0
    total: int = 0
    what: str = ""
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    cancelled: bool = False

    def report(self, done: int, total: int = 0, what: str = "") -> None:
        """Raises StoppedError, which stops the work at its next sign of life."""
        if self.cancelled:
            raise StoppedError("cancelled")
        self.done, self.total, self.what = done, total, what or self.what

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "state": self.state, "done": self.done, "total": self.total, "what": self.what,
                "error": self.error, "result": self.result, "files": list(self.files)}  # fmt: skip


class Jobs:
    """Long work and what came of it, each under an id that cannot be guessed."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        _sweep()
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lives = FileLock(self._folder / LOCK)  # until this process ends, however it ends
        self._lives.acquire()
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def start(self, work: Callable[[Job], None]) -> Job:
        """Raises BusyError."""
        name = secrets.token_urlsafe(16)
        job = Job(name, self._folder / name)

        def run() -> None:
            if job.cancelled:
                job.state = "cancelled"
                return
            job.state = "running"
            try:
                job.folder.mkdir()
                work(job)
                job.state = "cancelled" if job.cancelled else "done"
            except StoppedError:
                job.state = "cancelled"
            except KaoganError as error:
                job.state, job.error = "failed", str(error)
            except BaseException as error:
                job.state, job.error = "failed", "out of memory; ask for less"
                if not is_out_of_memory(error):
                    job.error = "this went wrong inside of kaogan; the terminal says more"
                    raise

        future = self._queue.submit(run)
        future.add_done_callback(_show)
        with self._lock:
            self._jobs[name] = job
            self._forget()
        return job

    def get(self, name: str) -> Job:
        """Raises KaoganError."""
        job = self._jobs.get(name)
        if job is None:
            raise KaoganError("this result is no longer kept; make it again")
        return job

    def cancel(self, name: str) -> Job:
        job = self.get(name)
        job.cancelled = True
        if job.state == "waiting":
            job.state = "cancelled"
        return job

    def close(self) -> None:
        for job in self._jobs.values():
            job.cancelled = True
        self._queue.close()
        self._lives.release()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _forget(self) -> None:
        over = [job for job in self._jobs.values() if job.state not in ("waiting", "running")][: -MAX_FINISHED or None]
        for job in over:
            del self._jobs[job.id]
            shutil.rmtree(job.folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the folders of studios that were killed: nobody holds their locks."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):  # of another user, or being swept by another studio
            if (folder / LOCK).is_file() and time.time() - folder.stat().st_mtime > JUST_MADE:
                with FileLock(folder / LOCK, timeout=0):
                    shutil.rmtree(folder)


def _show(future: Future[None]) -> None:
    """Print the traceback of a bug to the terminal."""
    if not future.cancelled() and (error := future.exception()) is not None:
        import traceback

        traceback.print_exception(error)
