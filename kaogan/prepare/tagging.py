"""Hair and eye colours of the pictures that no labels.csv tells, by kaogan's own tagger."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from kaogan.core.errors import KaoganError
from kaogan.data.cache import in_order
from kaogan.data.decoding import BrokenPicture, read_picture
from kaogan.prepare.crops import Kept
from kaogan.prepare.manifest import Journal
from kaogan.prepare.settings import Tags

Progress = Callable[[int, int, str], None]
Tag = dict[str, tuple[str, float]]  # attribute -> (likeliest value, its confidence)
_BATCH = 128


@dataclass(frozen=True)
class Doubt:
    """A label of the sources that the tagger would have given otherwise."""

    attribute: str
    label: str
    says: str
    confidence: float


def tag(pieces: list[Kept], read: Callable[[Kept], bytes], journal: Journal, progress: Progress | None) -> None:
    """Tag what the journal has no tags of yet, in batches, and remember it."""
    known = {(digest, number) for digest, number in journal.rows("SELECT digest, number FROM tags")}
    todo = [piece for piece in pieces if (piece.digest, piece.number) not in known]
    if not todo:
        return
    from kaogan.aux_models.tagger import load_tagger

    tagger = load_tagger()

    def pixels(piece: Kept) -> np.ndarray | None:
        try:
            return np.asarray(read_picture(read(piece)))
        except (BrokenPicture, KaoganError):
            return None

    for at in range(0, len(todo), _BATCH):
        shapes: dict[tuple[int, ...], list[tuple[Kept, np.ndarray]]] = defaultdict(list)
        for piece, picture in in_order(todo[at : at + _BATCH], pixels):
            if picture is not None:
                shapes[picture.shape].append((piece, picture))
        rows = []
        for group in shapes.values():
            prediction = tagger.predict(np.stack([picture for _, picture in group]))
            for index, (piece, _) in enumerate(group):
                tags = {name: _best(values, prediction, name, index) for name, values in tagger.values.items()}
                rows.append((piece.digest, piece.number, json.dumps(tags)))
        journal.set_tags(rows)
        if progress:
            progress(min(at + _BATCH, len(todo)), len(todo), "tagging")


def _best(values: tuple[str, ...], prediction: object, name: str, index: int) -> tuple[str, float]:
    probabilities = prediction.probabilities[name][index]  # type: ignore[attr-defined]
    best = int(probabilities.argmax())
    return values[best], round(float(probabilities[best]), 4)


def read_tags(journal: Journal) -> dict[tuple[str, int], Tag]:
    return {
        (digest, number): {name: (value, confidence) for name, (value, confidence) in json.loads(tags).items()}
        for digest, number, tags in journal.rows("SELECT digest, number, tags FROM tags")
    }


def merged(labels: Mapping[str, str], tags: Tag, settings: Tags) -> tuple[dict[str, str], list[Doubt]]:
    """The cells of one row: the sources' labels as they are, tags with their confidence where there is no label."""
    cells, doubts = dict(labels), []
    for name, (value, confidence) in tags.items():
        given = labels.get(name)
        if not given:
            cells[name] = value if confidence >= settings.confidence else ""
            cells[f"{name}_conf"] = f"{confidence:.4f}"
        elif settings.check and given != value and confidence >= settings.doubt:
            doubts.append(Doubt(name, given, value, confidence))
    return cells, doubts


def wanted(pieces: Iterable[Kept], labels: Callable[[Kept], Mapping[str, str]], settings: Tags) -> list[Kept]:
    """Those that need the tagger: some attribute is not labelled, or labels are to be checked."""
    return [piece for piece in pieces if settings.check or not {"hair", "eyes"} <= labels(piece).keys()]
