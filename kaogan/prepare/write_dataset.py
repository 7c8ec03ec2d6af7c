"""The second half of ``prepare``: from the pieces of all files to the set, its tables and its report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kaogan.core.atomic_io import explain, write_text
from kaogan.core.errors import KaoganError
from kaogan.data.sources.base import shown
from kaogan.prepare import duplicates, report, tables
from kaogan.prepare.blurred_set import write_blurred
from kaogan.prepare.crops import Kept, copies, read_pieces
from kaogan.prepare.split import assign
from kaogan.prepare.tables import Row
from kaogan.prepare.tagging import Doubt, merged, read_tags, tag, wanted
from kaogan.version import __version__

if TYPE_CHECKING:
    from kaogan.prepare.pipeline import Outcome, _Run

COPIES = {duplicates.EXACT: "exact copy", duplicates.NEAR: "near copy", duplicates.MIRRORED: "mirrored copy"}
STEPS = ("skipped", "unread", "broken", "tiny", "no face", "monochrome", "blurred", *COPIES.values())


@dataclass(frozen=True)
class Dropped:
    """One line of dropped.csv and one tile of the report."""

    source: str
    name: str
    step: str
    reason: str
    preview: bytes | Kept | None = None  # a JPEG, or the picture that turned out to be a copy
    kept: str = ""  # the key of what is kept in place of a copy


@dataclass
class Result:
    """Everything that the tables and the report tell."""

    pieces: list[Kept]  # of the set, in the order of their names
    names: list[str]  # of their files, without folder
    parts: list[str]  # "" without a split
    rows: list[Row]
    columns: list[str]
    dropped: list[Dropped]
    doubts: list[tuple[str, Doubt]]  # with the name of the file
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def path(self, at: int) -> str:
        return f"{self.parts[at]}/images/{self.names[at]}" if self.parts[at] else f"images/{self.names[at]}"


def finish(run: _Run) -> tuple[Outcome, list[str]]:
    from kaogan.prepare.pipeline import Outcome

    result = _choose(run)
    paths = [result.path(at) for at in range(len(result.pieces))]
    moved = [(path, piece.key, piece.suffix) for path, piece in zip(paths, result.pieces, strict=True)]
    run.store.move_in(moved, run.progress)
    written = _write_tables(run, result)
    blurred = write_blurred(
        run.settings, run.store, run.out, list(zip(paths, result.pieces, strict=True)), run.progress
    )
    run.store.move_out([*paths, *blurred], lambda: {piece.key: piece.suffix for piece in pieces_of(run)})
    written.append("report.html")
    write_text(run.out / "report.html", report.page(run, result))
    return Outcome(run.out, len(paths), result.counts, result.notes, run.worked_on), written


def pieces_of(run: _Run) -> list[Kept]:
    return read_pieces(run.journal, run.positions)


def _choose(run: _Run) -> Result:
    """Copies out, tags in, names and parts given."""
    settings, labels = run.settings, run.labels
    pieces = pieces_of(run)

    def labels_of(piece: Kept) -> Row:
        # What is said of a picture with several faces is true of nobody knows which.
        return labels.of(piece.position) if piece.alone else {}

    labelled = np.array([bool(labels_of(piece)) for piece in pieces], bool)
    kind = np.zeros(len(pieces), np.uint8)
    copy_of = groups = np.arange(len(pieces))
    if pieces and (settings.twins.enabled or settings.split):
        found = copies(pieces, labelled, run.journal, settings.twins, run.progress)
        groups = found.group
        if settings.twins.enabled:
            kind, copy_of = found.kind, found.copy_of
    keep = np.flatnonzero(kind == duplicates.KEPT).tolist()
    names = _names(pieces, keep)
    keep.sort(key=lambda at: names[at])
    chosen = [pieces[at] for at in keep]
    if settings.tags.enabled:
        tag(wanted(chosen, labels_of, settings.tags), lambda piece: _data(run, piece), run.journal, run.progress)
    tags = read_tags(run.journal) if settings.tags.enabled else {}
    cells = [merged(labels_of(piece), tags.get((piece.digest, piece.number), {}), settings.tags) for piece in chosen]
    rows = [row for row, _ in cells]
    parts = [""] * len(keep)
    if settings.split:
        parts = assign([piece.key for piece in chosen], _with_faces(groups, pieces)[keep], settings.split)
    result = Result(
        chosen,
        [names[at] for at in keep],
        parts,
        rows,
        tables.columns_of(rows),
        [*_dropped(run), *_dropped_copies(run, pieces, kind, copy_of, names)],
        [(names[at], doubt) for at, (_, doubts) in zip(keep, cells, strict=True) for doubt in doubts],
        notes=[*labels.notes, *_notes(run)],
    )
    steps = Counter(each.step for each in result.dropped)
    result.counts = {"files": len(run.files), **{step: steps[step] for step in STEPS}, "kept": len(keep)}
    return result


def _names(pieces: list[Kept], keep: list[int]) -> dict[int, str]:
    """A file name for each piece that stays: from its content, so that it is safe, short, and the same next time."""
    names: dict[int, str] = {}
    taken: Counter[str] = Counter()
    for at in keep:
        piece = pieces[at]
        stem = piece.digest[:16] + (f"-{piece.number + 1}" if piece.number else "")
        taken[stem] += 1
        names[at] = stem + (f"_{taken[stem]}" if taken[stem] > 1 else "") + piece.suffix
    return names


def _data(run: _Run, piece: Kept) -> bytes:
    path = run.store.find(piece.key, piece.suffix, piece.bytes)
    if path is None:
        raise KaoganError(f"a picture of {run.out} vanished while it was worked on; run the same command again")
    try:
        return path.read_bytes()
    except OSError as error:
        raise explain(error, path) from error


def _with_faces(groups: np.ndarray, pieces: list[Kept]) -> np.ndarray:
    """Faces of one picture go to the same part as well: the groups they connect become one."""
    parent = {group: group for group in groups.tolist()}

    def root(group: int) -> int:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for at in range(1, len(pieces)):
        if pieces[at].position == pieces[at - 1].position:
            a, b = sorted((root(int(groups[at - 1])), root(int(groups[at]))))
            parent[b] = a
    return np.array([root(group) for group in groups.tolist()])


def _dropped(run: _Run) -> Iterator[Dropped]:
    """What the steps on single files dropped, in the order of the files."""
    for given, source in zip(run.files.given, run.files.sources, strict=True):
        for name, reason in source.listing.skipped:
            yield Dropped(given, shown(name), "skipped", reason)
    for position, drop in run.unread:
        yield Dropped(*_origin(run, position), drop.step, drop.reason)
    query = "SELECT file, number, step, reason, preview FROM pieces WHERE step IS NOT NULL"
    found = [(run.positions[file], *rest) for file, *rest in run.journal.rows(query)]
    for position, _, step, reason, preview in sorted(found, key=lambda each: each[:2]):
        yield Dropped(*_origin(run, position), step, reason, preview or None)


def _dropped_copies(
    run: _Run, pieces: list[Kept], kind: np.ndarray, copy_of: np.ndarray, names: dict[int, str]
) -> Iterator[Dropped]:
    for at in np.flatnonzero(kind).tolist():
        other = int(copy_of[at])
        _, name = _origin(run, pieces[other].position)
        step, reason = COPIES[int(kind[at])], f"of {name} ({names[other]})"
        yield Dropped(*_origin(run, pieces[at].position), step, reason, pieces[at], pieces[other].key)


def _origin(run: _Run, position: int) -> tuple[str, str]:
    source, index = run.files.place(position)
    return run.files.given[source], shown(run.files.sources[source].listing.entries[index].name)


def _notes(run: _Run) -> Iterator[str]:
    if not run.settings.tags.classes and not any(source.listing.labels for source in run.files.sources):
        folders = {entry.name.rpartition("/")[0] for source in run.files.sources for entry in source.listing.entries}
        if len(folders) > 1:
            yield f"the {len(folders):,} sub-folders are not taken as labels; --classes takes them"
    if run.unread:
        yield f"{len(run.unread):,} files could not be read this time; the same command tries them again"


def _write_tables(run: _Run, result: Result) -> list[str]:
    """Each table whole; the names of all that were written. Tables of an earlier run that are not wanted now go."""
    written: list[str] = []

    def place(name: str) -> Path:
        written.append(name)
        return run.out / name

    for part in sorted({*run.settings.split, *result.parts} if run.settings.split else {""}):
        at = [index for index, each in enumerate(result.parts) if each == part]
        names, rows = [result.names[index] for index in at], [result.rows[index] for index in at]
        prefix = f"{part}/" if part else ""
        if names or not part:
            tables.write_labels(place(f"{prefix}labels.csv"), names, rows, result.columns)
            if run.settings.labels == "huggingface":
                inside = [f"images/{name}" for name in names]
                tables.write_labels(place(f"{prefix}metadata.csv"), inside, rows, result.columns, "file_name")
    tables.write_table(
        place("origins.csv"),
        ("file", "source", "name", "x", "y", "w", "h", "score"),
        ((result.path(at), *_origin(run, piece.position), *_box(piece)) for at, piece in enumerate(result.pieces)),
    )
    tables.write_table(
        place("dropped.csv"),
        ("source", "name", "step", "reason"),
        ((d.source, d.name, d.step, d.reason) for d in result.dropped),
    )
    if run.settings.tags.check:
        tables.write_table(
            place("doubtful.csv"),
            ("file", "attribute", "label", "tagger", "confidence"),
            ((file, d.attribute, d.label, d.says, f"{d.confidence:.4f}") for file, d in result.doubts),
        )
    write_text(place("dataset.json"), _dataset(run, result))
    for path in [*run.out.glob("*.csv"), *run.out.glob("*/*.csv")]:
        name = path.relative_to(run.out).as_posix()
        if name not in written and path.name in ("labels.csv", "metadata.csv", "doubtful.csv"):
            path.unlink(missing_ok=True)
    return written


def _box(piece: Kept) -> tuple[str, ...]:
    return (*(f"{side:.1f}" for side in piece.box), f"{piece.score:.3f}") if piece.box else ("",) * 5


def _dataset(run: _Run, result: Result) -> str:
    schema = tables.schema(result.rows, result.columns)
    sources = [
        {"path": shown(given), "files": len(source.listing.entries), "skipped": len(source.listing.skipped)}
        for given, source in zip(run.files.given, run.files.sources, strict=True)
    ]
    content = {
        "made_by": f"kaogan {__version__} prepare",
        "settings": run.settings.model_dump(mode="json"),
        "sources": sources,
        "counts": result.counts,
        "parts": dict(sorted(Counter(part for part in result.parts if part).items())),
        "attributes": schema.to_json(),
        "licence": run.settings.licence,
        "notes": result.notes,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
