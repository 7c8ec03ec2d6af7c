"""Tagging of picture files, folders and zips."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kaogan.aux_models.tagger.predict import BATCH, Tagger
from kaogan.aux_models.tagger.preprocessing import shrink
from kaogan.core.atomic_io import write_text
from kaogan.core.errors import UsageError
from kaogan.core.paths import looking_at
from kaogan.core.text import shown
from kaogan.data.cache import in_order
from kaogan.data.decoding import BrokenPicture, read_picture
from kaogan.data.sources import SUFFIXES, open_source

_AT_LEAST = 128  # px: a large JPEG is read at a fraction of its size, never below three times this


@dataclass(frozen=True)
class Tags:
    """What is said of one file: for each attribute (value, confidence); or, when it is no picture, the reason."""

    file: str
    values: dict[str, tuple[str, float]]
    face: float = 0.0
    quality: float = 0.0
    reason: str = ""


def tag_files(tagger: Tagger, sources: Sequence[Path]) -> Iterator[Tags]:
    """Every picture of files, folders and zips, in order; memory stays flat. Raises UsageError for a missing path.

    Pictures of a folder or zip are named by their place in it; of several sources with its path before.
    """
    waiting: list[tuple[str, np.ndarray | str]] = []
    for item in _pictures(sources):
        waiting.append(item)
        if len(waiting) == BATCH:
            yield from _tagged(tagger, waiting)
            waiting = []
    yield from _tagged(tagger, waiting)


def write_table(path: Path, attributes: Iterable[str], rows: Iterable[Tags]) -> int:
    """The tags of all pictures as CSV (file, hair, eyes, hair_conf, eyes_conf, face, quality); returns how many."""
    names = list(attributes)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", *names, *(f"{name}_conf" for name in names), "face", "quality"))
    count = 0
    for row in rows:
        if not row.reason:
            confidences = (f"{row.values[name][1]:.4f}" for name in names)
            tags = (row.values[name][0] for name in names)
            table.writerow((row.file, *tags, *confidences, f"{row.face:.4f}", f"{row.quality:.4f}"))
            count += 1
    write_text(path, text.getvalue())
    return count


def _tagged(tagger: Tagger, items: Sequence[tuple[str, np.ndarray | str]]) -> Iterator[Tags]:
    pictures = [picture for _, picture in items if isinstance(picture, np.ndarray)]
    said = tagger.predict(np.stack(pictures)) if pictures else None
    best = {name: said.best(name) for name in tagger.values} if said else {}
    place = 0
    for name, picture in items:
        if isinstance(picture, str) or said is None:
            yield Tags(name, {}, reason=str(picture))
            continue
        values = {a: (tagger.values[a][int(best[a][0][place])], float(best[a][1][place])) for a in best}
        yield Tags(name, values, float(said.face[place]), float(said.quality[place]))
        place += 1


def _pictures(sources: Sequence[Path]) -> Iterator[tuple[str, np.ndarray | str]]:
    """(name, picture uint8 (64, 64, 3) or the reason why there is none)."""
    with ExitStack() as stack:
        for source in sources:
            with looking_at(source):
                is_file, exists = source.is_file(), source.exists()
            if is_file and source.suffix.lower() in SUFFIXES:
                yield shown(str(source)), _read(source)
                continue
            if not exists:
                raise UsageError(f"no such picture, folder or zip: {shown(str(source))}; check the path")
            opened = stack.enter_context(open_source(source))
            entries = opened.listing.entries

            def work(index: int, opened=opened) -> np.ndarray | str:
                try:
                    return _read(opened.read(index))
                except BrokenPicture as broken:
                    return broken.reason

            for index, picture in in_order(range(len(entries)), work):
                inside = entries[index].name
                yield shown(inside if len(sources) == 1 else f"{source}/{inside}"), picture


def _read(source: bytes | Path) -> np.ndarray | str:
    try:
        return shrink(np.asarray(read_picture(source, at_least=_AT_LEAST))[None])[0]
    except BrokenPicture as broken:
        return broken.reason
