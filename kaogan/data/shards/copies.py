"""Copies of shards behind an address: those in use are fetched whole, in a thread, and the oldest removed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from glob import escape
from pathlib import Path

from filelock import FileLock, Timeout

from kaogan.core.errors import KaoganError
from kaogan.data.shards.index import Shard
from kaogan.data.storage import Storage

LIMIT = 32 * 2**30  # bytes of copies of one set
_RETRY = 30  # seconds
_SPARE = 2 * 2**30  # bytes of the disk that are left free


class ShardCopies:
    """Fetches shards into ``folder``. What is not here yet can be read from the storage in parts meanwhile, so a copy
    only ever saves time: a full disk or a broken transfer costs nothing else."""

    def __init__(self, storage: Storage, folder: Path, limit: int = LIMIT) -> None:
        self.storage, self.folder, self.limit = storage, folder, limit
        self._wanted: list[Shard] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def want(self, shards: Sequence[Shard]) -> None:
        """The shards that are used now and next, the most urgent first; others may be removed."""
        with self._changed:
            if list(shards) == self._wanted:
                return
            self._wanted = list(shards)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                missing = [each for each in self._wanted if not (self.folder / each.name).exists()]
                if not missing:
                    self._changed.wait()
                    continue
            if not any(self._fetched(shard) for shard in missing):
                with self._changed:
                    self._changed.wait(_RETRY)

    def _fetched(self, shard: Shard) -> bool:
        try:
            return self._fetch(shard)
        except (KaoganError, OSError, Timeout):  # Timeout: another process of this machine fetches it
            return False

    def _fetch(self, shard: Shard) -> bool:
        """Whether it is here now."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._make_room(shard.size):
            return False
        path = self.folder / shard.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=0):  # several processes of one machine share the copies
            if not path.exists():
                temporary = path.with_name(f".{path.name}.partial")
                for left in path.parent.glob(f".{escape(path.name)}.*partial"):  # by one that ended meanwhile
                    left.unlink(missing_ok=True)
                try:
                    self.storage.copy_to(shard.name, temporary)
                    if temporary.stat().st_size != shard.size:
                        return False
                    temporary.replace(path)
                finally:
                    temporary.unlink(missing_ok=True)
        return True

    def _make_room(self, size: int) -> bool:
        here = sorted((p.stat().st_mtime, p.stat().st_size, p) for p in self.folder.rglob("*.tar"))
        total = sum(each for _, each, _ in here)
        wanted = {self.folder / each.name for each in self._wanted}
        for _, each, path in here:
            if total + size <= self.limit and shutil.disk_usage(self.folder).free >= size + _SPARE:
                break
            if path not in wanted:
                with suppress(OSError):
                    path.unlink()
                    total -= each
        return total + size <= self.limit and shutil.disk_usage(self.folder).free >= size + _SPARE
