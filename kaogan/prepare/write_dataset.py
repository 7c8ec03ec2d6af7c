"""Writing of the prepared dataset: duplicates out, tags in, pictures in place, then the tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kaogan.core.atomic_io import explain, write_text
from kaogan.core.errors import KaoganError
from kaogan.core.text import shown
from kaogan.data.formats.huggingface import FILE_NAME
from kaogan.data.label_files import FILE
from kaogan.data.labels import columns_beside
from kaogan.data.shards.index import MANIFEST
from kaogan.data.shards.writer import Sample, remove_shards, write_shards
from kaogan.prepare import duplicates, tables
from kaogan.prepare.blurred_set import write_blurred
from kaogan.prepare.context import RunContext
from kaogan.prepare.crops import Crop, find_copies_of
from kaogan.prepare.prepared_set import COPIES, STEPS, Dropped, PreparedSet
from kaogan.prepare.processed_file import SURPLUS
from kaogan.prepare.split import assign
from kaogan.prepare.tables import Row
from kaogan.prepare.tagging import merged, read_tags, tag, wanted
from kaogan.version import __version__


def write_dataset(run: RunContext) -> tuple[PreparedSet, list[str]]:
    """Put the pictures in place and write the tables, whose names are returned."""
    prepared = _choose(run)
    paths = [prepared.path(at) for at in range(len(prepared.crops))]
    placed = [] if run.settings.shards else paths
    moved = [(path, crop.key, crop.suffix) for path, crop in zip(placed, prepared.crops, strict=False)]
    run.store.move_in(moved, run.progress)
    written = [*_write_tables(run, prepared), *_write_sharded(run, prepared)]
    blurred = write_blurred(run, list(zip(paths, prepared.crops, strict=True)))
    run.store.move_out([*placed, *blurred], lambda: {crop.key: crop.suffix for crop in run.crops()})
    return prepared, written


def _write_sharded(run: RunContext, prepared: PreparedSet) -> list[str]:
    """The shards and indexes of each part, if they are asked for; those of an earlier run that are not wanted go."""
    written: list[str] = []
    wanted = sorted(set(prepared.parts) or {""}) if run.settings.shards else []
    for old in run.out.glob("**/" + MANIFEST):
        if old.parent.relative_to(run.out).as_posix().replace(".", "") not in wanted:
            remove_shards(old.parent)
    for part in wanted:
        folder = run.out / part
        folder.mkdir(parents=True, exist_ok=True)
        names = write_shards(folder, _samples(run, prepared, part), prepared.columns, run.settings.shards or 1)
        written += [f"{part}/{name}" if part else name for name in names]
    return written


def _samples(run: RunContext, prepared: PreparedSet, part: str) -> Iterator[Sample]:
    for at, (name, crop) in enumerate(zip(prepared.names, prepared.crops, strict=True)):
        if prepared.parts[at] == part:
            yield name, crop.suffix, _data(run, crop), prepared.rows[at], None
        if run.progress and at % 100 == 0:
            run.progress(at, len(prepared.names), "writing shards")


def _choose(run: RunContext) -> PreparedSet:
    """Copies out, tags in, names and parts given."""
    settings, labels = run.settings, run.labels
    crops = run.crops()

    def labels_of(crop: Crop) -> Row:
        # What is said of a picture with several faces is true of nobody knows which.
        return labels.of(crop.position) if crop.alone else {}

    labelled = np.array([bool(labels_of(crop)) for crop in crops], bool)
    kind = np.zeros(len(crops), np.uint8)
    copy_of = groups = np.arange(len(crops))
    if crops and (settings.twins.enabled or settings.split):
        found = find_copies_of(crops, labelled, run.manifest, settings.twins, run.progress)
        groups = found.group
        if settings.twins.enabled:
            kind, copy_of = found.kind, found.copy_of
    keep = np.flatnonzero(kind == duplicates.KEPT).tolist()
    names = _names(crops, keep)
    keep.sort(key=lambda at: names[at])
    chosen = [crops[at] for at in keep]
    if settings.tags.enabled:
        tag(wanted(chosen, labels_of, settings.tags), lambda crop: _data(run, crop), run.manifest, run.progress)
    tags = read_tags(run.manifest) if settings.tags.enabled else {}
    cells = [merged(labels_of(crop), tags.get((crop.digest, crop.number), {}), settings.tags) for crop in chosen]
    rows = [row for row, _ in cells]
    columns, left_out = _columns(run, rows)
    parts = [""] * len(keep)
    if settings.split:
        parts = assign([crop.key for crop in chosen], _with_faces(groups, crops)[keep], settings.split)
    prepared = PreparedSet(
        chosen,
        [names[at] for at in keep],
        parts,
        rows,
        columns,
        [*_dropped(run), *_dropped_copies(run, crops, kind, copy_of, names)],
        [(names[at], doubt) for at, (_, doubts) in zip(keep, cells, strict=True) for doubt in doubts],
        notes=list(dict.fromkeys([*labels.notes, *left_out, *_notes(run)])),
    )
    steps = Counter(each.step for each in prepared.dropped)
    told = [step for step in STEPS if steps[step] or step != SURPLUS]  # which few sets have
    prepared.counts = {"files": len(run.files), **{step: steps[step] for step in told}, "kept": len(keep)}
    return prepared


def _columns(run: RunContext, rows: list[Row]) -> tuple[list[str], list[str]]:
    """The columns that every table to be written can hold, and notes on the others."""
    columns, notes = tables.columns_of(rows), []
    for key in (FILE, FILE_NAME) if run.settings.labels == "huggingface" else (FILE,):
        columns, left_out = columns_beside(columns, key)
        notes += left_out
    return columns, notes


def _names(crops: list[Crop], keep: list[int]) -> dict[int, str]:
    """A file name for each crop that stays: from its content, so that it is safe, short, and the same next time."""
    names: dict[int, str] = {}
    taken: Counter[str] = Counter()
    for at in keep:
        crop = crops[at]
        stem = crop.digest[:16] + (f"-{crop.number + 1}" if crop.number else "")
        taken[stem] += 1
        names[at] = stem + (f"_{taken[stem]}" if taken[stem] > 1 else "") + crop.suffix
    return names


def _data(run: RunContext, crop: Crop) -> bytes:
    path = run.store.find(crop.key, crop.suffix, crop.bytes)
    if path is None:
        raise KaoganError(f"a picture of {run.out} vanished while it was worked on; run the same command again")
    try:
        return path.read_bytes()
    except OSError as error:
        raise explain(error, path) from error


def _with_faces(groups: np.ndarray, crops: list[Crop]) -> np.ndarray:
    """Faces of one picture go to the same part as well: the groups they connect become one."""
    parent = {group: group for group in groups.tolist()}

    def root(group: int) -> int:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for at in range(1, len(crops)):
        if crops[at].position == crops[at - 1].position:
            a, b = sorted((root(int(groups[at - 1])), root(int(groups[at]))))
            parent[b] = a
    return np.array([root(group) for group in groups.tolist()])


def _dropped(run: RunContext) -> Iterator[Dropped]:
    """What the steps on single files dropped, in the order of the files."""
    for given, source in zip(run.files.given, run.files.sources, strict=True):
        for name, reason in source.listing.skipped:
            yield Dropped(given, shown(name), "skipped", reason)
    for position, drop in run.unread:
        yield Dropped(*run.origin(position), drop.step, drop.reason)
    query = "SELECT file, number, step, reason, preview FROM pieces WHERE step IS NOT NULL"
    found = [(run.positions[file], *rest) for file, *rest in run.manifest.rows(query)]
    for position, _, step, reason, preview in sorted(found, key=lambda each: each[:2]):
        yield Dropped(*run.origin(position), step, reason, preview or None)


def _dropped_copies(
    run: RunContext, crops: list[Crop], kind: np.ndarray, copy_of: np.ndarray, names: dict[int, str]
) -> Iterator[Dropped]:
    for at in np.flatnonzero(kind).tolist():
        other = int(copy_of[at])
        _, name = run.origin(crops[other].position)
        step, reason = COPIES[int(kind[at])], f"of {name} ({names[other]})"
        yield Dropped(*run.origin(crops[at].position), step, reason, crops[at], crops[other].key)


def _notes(run: RunContext) -> Iterator[str]:
    if not run.settings.tags.classes and not any(source.listing.side for source in run.files.sources):
        folders = {entry.name.rpartition("/")[0] for source in run.files.sources for entry in source.listing.entries}
        if len(folders) > 1:
            yield f"the {len(folders):,} sub-folders are not taken as labels; --classes takes them"
    picture = run.settings.picture
    if picture.crop == "faces" and picture.upright and not picture.square:
        yield "faces as they were found were not turned: --upright turns square crops only"
    if run.unread:
        yield f"{len(run.unread):,} files could not be read this time; the same command tries them again"


def _write_tables(run: RunContext, prepared: PreparedSet) -> list[str]:
    """Each table whole; the names of all that were written. Tables of an earlier run that are not wanted now go."""
    written: list[str] = []

    def place(name: str) -> Path:
        written.append(name)
        return run.out / name

    for part in sorted({*run.settings.split, *prepared.parts} if run.settings.split else {""}):
        at = [index for index, each in enumerate(prepared.parts) if each == part]
        names, rows = [prepared.names[index] for index in at], [prepared.rows[index] for index in at]
        prefix = f"{part}/" if part else ""
        if (names or not part) and not run.settings.shards:
            tables.write_labels(place(f"{prefix}labels.csv"), names, rows, prepared.columns)
            if run.settings.labels == "huggingface":
                inside = [f"images/{name}" for name in names]
                tables.write_labels(place(f"{prefix}metadata.csv"), inside, rows, prepared.columns, FILE_NAME)
    tables.write_table(
        place("origins.csv"),
        ("file", "source", "name", "x", "y", "w", "h", "score"),
        ((prepared.path(at), *run.origin(crop.position), *_box(crop)) for at, crop in enumerate(prepared.crops)),
    )
    tables.write_table(
        place("dropped.csv"),
        ("source", "name", "step", "reason"),
        ((d.source, d.name, d.step, d.reason) for d in prepared.dropped),
    )
    if run.settings.tags.check:
        tables.write_table(
            place("doubtful.csv"),
            ("file", "attribute", "label", "tagger", "confidence"),
            ((file, d.attribute, d.label, d.says, f"{d.confidence:.4f}") for file, d in prepared.doubts),
        )
    write_text(place("dataset.json"), _dataset(run, prepared))
    for path in [*run.out.glob("*.csv"), *run.out.glob("*/*.csv")]:
        name = path.relative_to(run.out).as_posix()
        if name not in written and path.name in ("labels.csv", "metadata.csv", "doubtful.csv"):
            path.unlink(missing_ok=True)
    return written


def _box(crop: Crop) -> tuple[str, ...]:
    return (*(f"{side:.1f}" for side in crop.box), f"{crop.score:.3f}") if crop.box else ("",) * 5


def _dataset(run: RunContext, prepared: PreparedSet) -> str:
    schema = tables.schema(prepared.rows, prepared.columns)
    sources = [
        {"path": shown(given), "files": len(source.listing.entries), "skipped": len(source.listing.skipped)}
        for given, source in zip(run.files.given, run.files.sources, strict=True)
    ]
    content = {
        "made_by": f"kaogan {__version__} prepare",
        "settings": run.settings.model_dump(mode="json"),
        "sources": sources,
        "counts": prepared.counts,
        "parts": dict(sorted(Counter(part for part in prepared.parts if part).items())),
        "attributes": schema.to_json(),
        "licence": run.settings.licence,
        "notes": prepared.notes,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
