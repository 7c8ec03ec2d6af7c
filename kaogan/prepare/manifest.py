"""The manifest of ``prepare``: an SQLite file with what was found out about each picture file, across runs and kills.

A picture is written before the manifest lists it, so whatever it lists is there. The manifest can be deleted; the
next run then begins anew. A SHA-256 lies beside it while no run has it open: SQLite itself keeps no checksums.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kaogan.core.atomic_io import explain, write_text
from kaogan.core.errors import KaoganError
from kaogan.prepare.processed_file import EncodedCrop, ProcessedFile, Rejection

FORMAT = 2
OPEN = "open\n"  # in the place of the checksum, while a run writes; also after a kill
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
  id INTEGER PRIMARY KEY, source BLOB NOT NULL, name BLOB NOT NULL, nth INTEGER NOT NULL,
  size INTEGER NOT NULL, stamp TEXT NOT NULL, digest TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  UNIQUE (source, name, nth)
);
CREATE TABLE pieces (
  id INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, number INTEGER NOT NULL,
  step TEXT, reason TEXT, preview BLOB,
  suffix TEXT, bytes INTEGER, width INTEGER, height INTEGER, area INTEGER,
  x REAL, y REAL, w REAL, h REAL, score REAL, brightness REAL, look BLOB, thumbnail BLOB
);
CREATE INDEX pieces_of_file ON pieces (file);
CREATE TABLE tags (digest TEXT, number INTEGER, tags TEXT NOT NULL, PRIMARY KEY (digest, number)) WITHOUT ROWID;
CREATE TABLE published (path TEXT PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID;
"""


class Manifest:
    """Raises KaoganError when the disk is full or the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path, self._sum = path, path.with_name(f"{path.name}.sha256")
        self._check()
        with self._explaining():
            self._db = self._open()

    def _check(self) -> None:
        """Raise KaoganError for a file that was altered since the last run closed it. From now on none is checked."""
        try:
            if self.path.exists() and self._sum.exists():
                written = self._sum.read_bytes()
                if written != OPEN.encode() and written != self._digest().encode():
                    raise KaoganError(
                        f"{self.path} was altered after it was written: its checksum does not match; delete it, and "
                        "the next run begins anew"
                    )
        except OSError as error:
            raise explain(error, self.path) from error
        write_text(self._sum, OPEN)

    def _digest(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() + "\n"

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, isolation_level=None)
        try:
            # One process at a time (the folder is locked), so that the log needs no shared memory: works on any disk.
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            database.execute("PRAGMA foreign_keys=ON")
            found = database.execute("PRAGMA user_version").fetchone()[0]
            if found == 0:
                database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={FORMAT}; COMMIT;")
            elif found != FORMAT:
                raise KaoganError(
                    f"{self.path} was written by another version of kaogan; delete it, and the next run begins anew"
                )
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        self._db.close()
        if not Path(f"{self.path}-wal").exists():  # else the end of its work is still there, on a full disk
            with suppress(KaoganError, OSError):
                write_text(self._sum, self._digest())

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "full" in str(error) or "disk I/O" in str(error):
                raise KaoganError(
                    f"the disk is full: could not write {self.path}; free some space and run the same command again"
                ) from error
            raise KaoganError(f"{self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise KaoganError(f"{self.path} is damaged ({error}); delete it, and the next run begins anew") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is done inside."""
        with self._explaining():
            self._db.execute("BEGIN")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def rows(self, query: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        with self._explaining():
            yield from self._db.execute(query, values)

    def get(self, key: str) -> str:
        found = next(self.rows("SELECT value FROM meta WHERE key = ?", (key,)), None)
        return found[0] if found else ""

    def set(self, key: str, value: str) -> None:
        with self._explaining():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def forget_files(self, ids: Iterable[int]) -> None:
        with self.transaction():
            self._db.executemany("DELETE FROM files WHERE id = ?", ((i,) for i in ids))

    def forget_all(self) -> None:
        """Every file; what was published stays known, so that it can be taken away."""
        with self.transaction():
            self._db.execute("DELETE FROM files")
            self._db.execute("DELETE FROM tags")

    def add(self, source: bytes, name: bytes, nth: int, size: int, stamp: int, found: ProcessedFile) -> int:
        """Inside ``transaction()``: one examined file and its crops. Returns the number of its row."""
        values = (source, name, nth, size, str(stamp), found.digest, found.width, found.height)
        cursor = self._db.execute(f"INSERT OR REPLACE INTO files VALUES (NULL{', ?' * len(values)})", values)
        file = cursor.lastrowid
        assert file is not None
        self._db.executemany(
            f"INSERT INTO pieces VALUES (NULL{', ?' * 18})",
            [(file, number, *_columns(item)) for number, item in enumerate(found.found)],
        )
        return file

    def set_tags(self, rows: Iterable[tuple[str, int, str]]) -> None:
        with self.transaction():
            self._db.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", rows)

    def forget_tags(self) -> None:
        with self._explaining():
            self._db.execute("DELETE FROM tags")

    def publish(self, rows: Iterable[tuple[str, str]]) -> None:
        with self.transaction():
            self._db.executemany("INSERT OR REPLACE INTO published VALUES (?, ?)", rows)

    def withdraw(self, paths: Iterable[str]) -> None:
        with self.transaction():
            self._db.executemany("DELETE FROM published WHERE path = ?", ((p,) for p in paths))


def _columns(item: EncodedCrop | Rejection) -> tuple[Any, ...]:
    if isinstance(item, Rejection):
        return (item.step, item.reason, item.preview, *(None,) * 13)
    x, y, w, h = item.box or (None,) * 4
    return (
        *(None, None, None, item.suffix, item.length, item.width, item.height, item.area),
        *(x, y, w, h, item.score, item.brightness, item.look, item.thumbnail),
    )
