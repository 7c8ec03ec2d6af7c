"""The pipeline of ``kaogan prepare``: from any folder of pictures to a clean, cropped, tagged dataset."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from kaogan.core.atomic_io import explain, sweep, write_text
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.paths import looking_at
from kaogan.core.progress import Progress
from kaogan.data.storage import is_address
from kaogan.prepare.context import RunContext
from kaogan.prepare.image_store import ImageStore
from kaogan.prepare.inputs import InputFiles, changed, is_remote, open_files
from kaogan.prepare.labels import SourceLabels, read_labels
from kaogan.prepare.manifest import Manifest
from kaogan.prepare.process_image import process_files
from kaogan.prepare.processed_file import UNREAD, ProcessedFile, Rejection
from kaogan.prepare.report import REPORT, write_report
from kaogan.prepare.settings import PrepareSettings, settings_digest
from kaogan.prepare.workers import map_batches, shares_storage
from kaogan.prepare.write_dataset import write_dataset

WORK = ".prepare"
# Of one unit of work: small enough for a steady bar and a bounded memory, large enough to be worth sending.
_FILES, _FACE_FILES, _BYTES = 64, 16, 4 * 2**20
_PREVIEWS = 1000  # kept of each step


@dataclass(frozen=True)
class PrepareResult:
    """Result of ``prepare``. ``counts``: how many pictures each step dropped, and "kept"."""

    out: Path
    kept: int
    counts: dict[str, int]
    notes: list[str] = field(default_factory=list)
    worked_on: int = 0  # files that were new or changed

    @property
    def report(self) -> Path:
        return self.out / REPORT


def prepare(
    sources: Sequence[str | Path],
    out: str | Path,
    settings: PrepareSettings | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> PrepareResult:
    """Make the set ``out`` from folders, zips and tars. The same call again works on what is new or changed only.

    ``workers``: processes (default: one a core). ``scheduler``: the address of a Dask scheduler to use instead.
    ``progress(done, total, what)`` is called often. The result does not depend on the number of workers.
    Raises UsageError for wrong paths, KaoganError for a full disk, a source that disappears, or when nothing is left.
    """
    if is_address(out):
        raise UsageError(f"{out} is an address; name a folder of this machine for the set, and copy it there")
    settings = settings or PrepareSettings()
    with looking_at(out):
        out = Path(out).expanduser()
        if out.name in ("", ".."):
            out = out.resolve()  # its companion needs a name
        companion = out.resolve().with_name(f"{out.name}-blurred")  # beside the set itself where OUT is a link
    with open_files(sources, out, [companion]) as files, _claimed(out) as work:
        labels = read_labels(files.sources, settings.tags.classes)
        manifest = Manifest(work / "journal.sqlite")
        try:
            run = _start(files, labels, out, work, settings, manifest, progress)
            if done := _unchanged(run):
                return done
            _process_new_files(run, workers, scheduler)
            return _finish(run)
        finally:
            manifest.close()


def _start(
    files: InputFiles,
    labels: SourceLabels,
    out: Path,
    work: Path,
    settings: PrepareSettings,
    manifest: Manifest,
    progress: Progress | None,
) -> RunContext:
    """The run of a call. What earlier runs found out with other settings or another tagger is forgotten."""
    faces = package_stamp("kaogan.aux_models.face_detector") if settings.picture.crop == "faces" else ""
    tagger = package_stamp("kaogan.aux_models.tagger") if settings.tags.enabled else ""
    picture = settings_digest(settings.picture, faces)
    if manifest.get("picture") != picture:
        manifest.set("done", "")
        manifest.forget_all()
        ImageStore(out, work / "store", manifest).clear()
        manifest.set("picture", picture)
    if tagger and manifest.get("tagger") != tagger:
        manifest.forget_tags()
        manifest.set("tagger", tagger)
    digest = settings_digest(settings, faces, tagger, files.digest(), labels.digest, files.given)
    return RunContext(
        files, labels, out, settings, manifest, ImageStore(out, work / "store", manifest), digest, progress
    )


def _unchanged(run: RunContext) -> PrepareResult | None:
    """The result of the last run if nothing has changed since and everything is still there."""
    last = json.loads(run.manifest.get("done") or "{}")
    if last.get("fingerprint") != run.digest or not all((run.out / name).exists() for name in last["tables"]):
        return None
    if any(not (run.out / path).exists() for (path,) in run.manifest.rows("SELECT path FROM published")):
        return None
    return PrepareResult(run.out, last["kept"], last["counts"], last["notes"])


def _process_new_files(run: RunContext, workers: int | None, scheduler: str | None) -> None:
    """Work on every file that is new or changed, and remember what was found."""
    todo, gone, run.positions = changed(run.files, run.manifest)
    run.manifest.set("done", "")
    run.manifest.forget_files(gone)
    todo = sorted({*todo, *_lost(run)})
    positions: deque[list[int]] = deque()
    previews: Counter[str] = Counter()
    done = 0
    marker = _shared_marker(run, scheduler) if scheduler and todo else None
    sent = bool(scheduler) and marker is None  # the pictures themselves go through this process, both ways
    store = None if sent else run.store.folder
    batches = map_batches(
        partial(process_files, run.settings.picture, store, marker=str(marker or "")),
        _batches(run, todo, positions, whole=sent),
        workers=workers if len(todo) > _FILES else 1 if workers is None and not scheduler else workers,
        scheduler=scheduler,
        killed=lambda: ProcessedFile("", 0, 0, (Rejection("broken", "kills the program that reads it"),)),
    )
    for _, results in batches:
        _remember(run, positions.popleft(), results, previews)
        done += len(results)
        if run.progress:
            run.progress(done, len(todo), "reading pictures")
    run.worked_on = len(todo)
    if marker:
        marker.unlink(missing_ok=True)


def _shared_marker(run: RunContext, scheduler: str) -> Path | None:
    """A file in the output by which workers know that they see this machine's storage; None when some do not."""
    marker = (run.out / WORK / "shared").resolve()
    write_text(marker, uuid4().hex)
    local = [Path(source.path).expanduser().resolve() for source in run.files.sources if not is_remote(source)]
    if shares_storage(scheduler, marker, local):
        run.store.folder = str(Path(run.store.folder).resolve())
        return marker
    marker.unlink()
    return None


def _finish(run: RunContext) -> PrepareResult:
    """Write the set and its report. Raises KaoganError when no picture is left."""
    prepared, tables = write_dataset(run)
    write_report(run, prepared)
    result = PrepareResult(run.out, len(prepared.crops), prepared.counts, prepared.notes, run.worked_on)
    if result.kept and not run.unread:
        last = {"fingerprint": run.digest, "kept": result.kept, "counts": result.counts, "notes": result.notes}
        run.manifest.set("done", json.dumps({**last, "tables": [*tables, REPORT]}))
    if not result.kept:
        dropped = {step: count for step, count in result.counts.items() if step not in ("files", "kept")}
        most = ", ".join(f"{count:,} {step}" for step, count in dropped.items() if count)
        raise KaoganError(f"no picture is left ({most or 'none was found'}); see {result.report}")
    return result


def _batches(run: RunContext, todo: list[int], positions: deque[list[int]], whole: bool) -> Iterator[list[object]]:
    most = _FACE_FILES if run.settings.picture.crop == "faces" else _FILES
    batch: list[object] = []
    places: list[int] = []
    size = 0
    for position in todo:
        batch.append(run.files.read(position, whole))
        places.append(position)
        size += run.files.entry(position).size
        if len(batch) >= most or size >= _BYTES:
            positions.append(places)
            yield batch
            batch, places, size = [], [], 0
    if batch:
        positions.append(places)
        yield batch


def _remember(run: RunContext, positions: list[int], results: list[ProcessedFile], previews: Counter[str]) -> None:
    """First the pictures, then, all at once, the rows about them."""
    kept = []
    for position, found in zip(positions, results, strict=True):
        if any(isinstance(item, Rejection) and item.step == UNREAD for item in found.found):
            run.files.check_source(position)
            run.unread += [(position, item) for item in found.found if isinstance(item, Rejection)]
            continue
        for number, item in enumerate(found.found):
            if not isinstance(item, Rejection) and item.data:
                run.store.add(f"{found.digest}-{number}", item.suffix, item.data)
        kept.append((position, _without_previews(found, previews)))
    with run.manifest.transaction():
        for position, found in kept:
            entry = run.files.entry(position)
            row = run.manifest.add(*run.files.known(position), entry.size, entry.stamp, found)
            run.positions[row] = position


def _lost(run: RunContext) -> list[int]:
    """Files whose picture is neither in the store nor in the set, or not whole. Their rows are forgotten."""
    lost = {crop.position for crop in run.crops() if run.store.find(crop.key, crop.suffix, crop.bytes) is None}
    rows = [row for row, position in run.positions.items() if position in lost]
    run.manifest.forget_files(rows)
    for row in rows:
        del run.positions[row]
    return sorted(lost)


def _without_previews(found: ProcessedFile, previews: Counter[str]) -> ProcessedFile:
    crops = []
    for item in found.found:
        if isinstance(item, Rejection):
            previews[item.step] += 1
            if previews[item.step] > _PREVIEWS:
                item = Rejection(item.step, item.reason)
        crops.append(item)
    return ProcessedFile(found.digest, found.width, found.height, tuple(crops))


def package_stamp(name: str) -> str:
    """Changes with the code or the weights of a package, without importing it."""
    spec = find_spec(name)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = sorted(p for folder in folders for p in Path(folder).rglob("*") if p.is_file() and p.suffix != ".pyc")
    return settings_digest(*([p.name, p.stat().st_size] for p in files))


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
