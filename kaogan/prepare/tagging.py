"""Tagging: hair and eye colours of the pictures without labels, by kaogan's own tagger."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from kaogan.core.errors import KaoganError
from kaogan.core.progress import Progress
from kaogan.data.cache import in_order
from kaogan.data.decoding import BrokenPicture, read_picture
from kaogan.prepare.crops import Crop
from kaogan.prepare.manifest import Manifest
from kaogan.prepare.settings import Tags

Tag = dict[str, tuple[str, float]]  # attribute -> (likeliest value, its confidence)
_BATCH = 128


@dataclass(frozen=True)
class Doubt:
    """A label of the sources that the tagger would have given otherwise."""

    attribute: str
    label: str
    says: str
    confidence: float


def tag(crops: list[Crop], read: Callable[[Crop], bytes], manifest: Manifest, progress: Progress | None) -> None:
    """Tag what the manifest has no tags of yet, in batches, and remember it."""
    known = {(digest, number) for digest, number in manifest.rows("SELECT digest, number FROM tags")}
    todo = [crop for crop in crops if (crop.digest, crop.number) not in known]
    if not todo:
        return
    from kaogan.aux_models.tagger import load_tagger
    from kaogan.aux_models.tagger.preprocessing import shrink

    tagger, alone = load_tagger(), threading.Lock()

    def pixels(crop: Crop) -> np.ndarray | None:
        """As the tagger will see it: a batch of whole pictures would fill the memory, as their floats would."""
        try:
            picture = np.asarray(read_picture(read(crop)))
        except (BrokenPicture, KaoganError):
            return None
        with alone:
            return shrink(picture[None])[0]

    for at in range(0, len(todo), _BATCH):
        found = in_order(todo[at : at + _BATCH], pixels)
        group = [(crop, picture) for crop, picture in found if picture is not None]
        prediction = tagger.predict(np.stack([picture for _, picture in group])) if group else None
        rows = []
        for index, (crop, _) in enumerate(group):
            tags = {name: _best(values, prediction, name, index) for name, values in tagger.values.items()}
            rows.append((crop.digest, crop.number, json.dumps(tags)))
        manifest.set_tags(rows)
        if progress:
            progress(min(at + _BATCH, len(todo)), len(todo), "tagging")


def _best(values: tuple[str, ...], prediction: object, name: str, index: int) -> tuple[str, float]:
    probabilities = prediction.probabilities[name][index]  # type: ignore[attr-defined]
    best = int(probabilities.argmax())
    return values[best], round(float(probabilities[best]), 4)


def read_tags(manifest: Manifest) -> dict[tuple[str, int], Tag]:
    return {
        (digest, number): {name: (value, confidence) for name, (value, confidence) in json.loads(tags).items()}
        for digest, number, tags in manifest.rows("SELECT digest, number, tags FROM tags")
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


def wanted(crops: Iterable[Crop], labels: Callable[[Crop], Mapping[str, str]], settings: Tags) -> list[Crop]:
    """Those that need the tagger: some attribute is not labelled, or labels are to be checked."""
    return [crop for crop in crops if settings.check or not {"hair", "eyes"} <= labels(crop).keys()]
