"""``prepare``: from any heap of pictures to a clean, cropped, tagged set. The steps, in order, from top to bottom."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock, Timeout

from kaogan.core.atomic_io import explain, sweep
from kaogan.core.errors import KaoganError, UsageError
from kaogan.prepare.crops import read_pieces
from kaogan.prepare.image_store import Store
from kaogan.prepare.inputs import Files, changed, open_files
from kaogan.prepare.labels import Labels, read_labels
from kaogan.prepare.manifest import Journal
from kaogan.prepare.process_image import UNREAD, Drop, Examined, examine_many
from kaogan.prepare.settings import Settings, fingerprint
from kaogan.prepare.workers import map_batches

WORK = ".prepare"
# Of one unit of work: small enough for a steady bar and a bounded memory, large enough to be worth sending.
_FILES, _FACE_FILES, _BYTES = 64, 16, 4 * 2**20
_PREVIEWS = 1000  # kept of each step

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a call. ``counts`` tells how many pictures each step dropped, and "kept"."""

    out: Path
    kept: int
    counts: dict[str, int]
    notes: list[str] = field(default_factory=list)
    worked_on: int = 0  # files that were new or changed

    @property
    def report(self) -> Path:
        return self.out / "report.html"


def prepare(
    sources: Sequence[str | Path],
    out: str | Path,
    settings: Settings | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Make the set ``out`` from folders, zips and tars. The same call again works on what is new or changed only.

    ``workers``: processes (default: one a core). ``scheduler``: the address of a Dask scheduler to use instead.
    ``progress(done, total, what)`` is called often. The result does not depend on the number of workers.
    Raises UsageError for wrong paths, KaoganError for a full disk, a source that disappears, or when nothing is left.
    """
    settings, out = settings or Settings(), Path(out).expanduser()
    companion = out.with_name(f"{out.name}-blurred")
    with open_files(sources, out, [companion]) as files, _claimed(out) as work:
        labels = read_labels(files.sources, settings.tags.classes)
        journal = Journal(work / "journal.sqlite")
        try:
            run = _Run(files, labels, out, work, settings, journal, progress)
            if done := run.unchanged():
                return done
            run.examine(workers, scheduler)
            return run.finish()
        finally:
            journal.close()


class _Run:
    def __init__(
        self,
        files: Files,
        labels: Labels,
        out: Path,
        work: Path,
        settings: Settings,
        journal: Journal,
        progress: Progress | None,
    ) -> None:
        self.files, self.labels, self.out, self.work = files, labels, out, work
        self.settings, self.journal, self.progress = settings, journal, progress
        faces = package_stamp("kaogan.aux_models.face_detector") if settings.picture.crop == "faces" else ""
        tagger = package_stamp("kaogan.aux_models.tagger") if settings.tags.enabled else ""
        self._picture = fingerprint(settings.picture, faces)
        self._tagger = tagger
        self._all = fingerprint(settings, faces, tagger, files.digest(), labels.digest, files.given)
        self.positions: dict[int, int] = {}  # of the journal's rows of files
        self.unread: list[tuple[int, Drop]] = []
        self.worked_on = 0
        if journal.get("picture") != self._picture:
            journal.set("done", "")
            journal.forget_all()
            Store(out, work / "store", journal).clear()
            journal.set("picture", self._picture)
        if tagger and journal.get("tagger") != tagger:
            journal.forget_tags()
            journal.set("tagger", tagger)
        self.store = Store(out, work / "store", journal)

    def unchanged(self) -> Outcome | None:
        """The outcome of the last run if nothing has changed since and everything is still there."""
        told = json.loads(self.journal.get("done") or "{}")
        if told.get("fingerprint") != self._all or not all((self.out / name).exists() for name in told["tables"]):
            return None
        if any(not (self.out / path).exists() for (path,) in self.journal.rows("SELECT path FROM published")):
            return None
        return Outcome(self.out, told["kept"], told["counts"], told["notes"])

    def examine(self, workers: int | None, scheduler: str | None) -> None:
        """Work on every file that is new or changed, and remember what was found."""
        todo, gone, self.positions = changed(self.files, self.journal)
        self.journal.set("done", "")
        self.journal.forget_files(gone)
        todo = sorted({*todo, *self._lost()})
        positions: deque[list[int]] = deque()
        previews: Counter[str] = Counter()
        done = 0
        batches = map_batches(
            partial(examine_many, self.settings.picture, None if scheduler else self.store.folder),
            self._batches(todo, positions, whole=bool(scheduler)),
            workers=workers if len(todo) > _FILES else 1 if workers is None and not scheduler else workers,
            scheduler=scheduler,
            killed=lambda: Examined("", 0, 0, (Drop("broken", "kills the program that reads it"),)),
        )
        for _, results in batches:
            self._remember(positions.popleft(), results, previews)
            done += len(results)
            if self.progress:
                self.progress(done, len(todo), "reading pictures")
        self.worked_on = len(todo)

    def finish(self) -> Outcome:
        from kaogan.prepare.write_dataset import finish

        outcome, tables = finish(self)
        if not self.unread:
            told = {"fingerprint": self._all, "kept": outcome.kept, "counts": outcome.counts, "notes": outcome.notes}
            self.journal.set("done", json.dumps({**told, "tables": tables}))
        if not outcome.kept:
            dropped = {step: count for step, count in outcome.counts.items() if step not in ("files", "kept")}
            most = ", ".join(f"{count:,} {step}" for step, count in dropped.items() if count)
            raise KaoganError(f"no picture is left ({most or 'none was found'}); see {outcome.report}")
        return outcome

    def _batches(self, todo: list[int], positions: deque[list[int]], whole: bool) -> Iterator[list[object]]:
        most = _FACE_FILES if self.settings.picture.crop == "faces" else _FILES
        batch: list[object] = []
        places: list[int] = []
        size = 0
        for position in todo:
            batch.append(self.files.read(position, whole))
            places.append(position)
            size += self.files.entry(position).size
            if len(batch) >= most or size >= _BYTES:
                positions.append(places)
                yield batch
                batch, places, size = [], [], 0
        if batch:
            positions.append(places)
            yield batch

    def _remember(self, positions: list[int], results: list[Examined], previews: Counter[str]) -> None:
        """First the pictures, then, all at once, the rows about them."""
        kept = []
        for position, found in zip(positions, results, strict=True):
            if any(isinstance(piece, Drop) and piece.step == UNREAD for piece in found.found):
                self.files.check_source(position)
                self.unread += [(position, piece) for piece in found.found if isinstance(piece, Drop)]
                continue
            for number, piece in enumerate(found.found):
                if not isinstance(piece, Drop) and piece.data:
                    self.store.add(f"{found.digest}-{number}", piece.suffix, piece.data)
            kept.append((position, _without_previews(found, previews)))
        with self.journal.transaction():
            for position, found in kept:
                entry = self.files.entry(position)
                row = self.journal.add(*self.files.known(position), entry.size, entry.stamp, found)
                self.positions[row] = position

    def _lost(self) -> list[int]:
        """Files whose picture is neither in the store nor in the set, or not whole. Their rows are forgotten."""
        pieces = read_pieces(self.journal, self.positions)
        lost = {p.position for p in pieces if self.store.find(p.key, p.suffix, p.bytes) is None}
        rows = [row for row, position in self.positions.items() if position in lost]
        self.journal.forget_files(rows)
        for row in rows:
            del self.positions[row]
        return sorted(lost)


def _without_previews(found: Examined, previews: Counter[str]) -> Examined:
    pieces = []
    for piece in found.found:
        if isinstance(piece, Drop):
            previews[piece.step] += 1
            if previews[piece.step] > _PREVIEWS:
                piece = Drop(piece.step, piece.reason)
        pieces.append(piece)
    return Examined(found.digest, found.width, found.height, tuple(pieces))


def package_stamp(name: str) -> str:
    """Changes with the code or the weights of a package, without importing it."""
    spec = find_spec(name)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = sorted(p for folder in folders for p in Path(folder).rglob("*") if p.is_file() and p.suffix != ".pyc")
    return fingerprint(*([p.name, p.stat().st_size] for p in files))


@contextmanager
def _claimed(out: Path) -> Iterator[Path]:
    """The working folder in ``out``, locked. Nobody's own pictures are ever written over."""
    work = out / WORK
    try:
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file; name a new or an empty folder for the set")
        if out.exists() and not work.exists() and any(out.iterdir()):
            raise UsageError(f"{out} already holds other files; choose a new or an empty folder for the set")
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, out) from error
    try:
        with FileLock(work / "lock", timeout=0):
            sweep(out)
            yield work
    except Timeout:
        raise KaoganError(f"another kaogan prepare is writing to {out}; wait for it to end") from None
    finally:
        with suppress(OSError):
            if not any(path.name != "lock" for path in work.iterdir()):
                (work / "lock").unlink(missing_ok=True)
                work.rmdir()
                out.rmdir()
