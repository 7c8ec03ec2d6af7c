"""The real pictures that everything is held against: their features, kept on disk under a fingerprint."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from kaogan.core.atomic_io import atomic, explain, write_text
from kaogan.core.errors import KaoganError
from kaogan.core.images import Pictures
from kaogan.data import PictureSet
from kaogan.data.cache import cache_folder, fingerprint_of
from kaogan.metrics.features import BATCH, Extractor, Progress, checked_batch

VERSION = 1  # raise it when a metric of the same features would come out differently


@dataclass(frozen=True)
class Measured:
    """Features float32 (N, D), and for the tagger what it saw: int64 (N,) positions by attribute."""

    features: np.ndarray
    seen: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.features)


def measure(extractor: Extractor, batches: Any, total: int, progress: Progress | None = None) -> Measured:
    """One pass over a stream of pictures."""
    parts: list[np.ndarray] = []
    seen: dict[str, list[np.ndarray]] = {}
    done = 0
    for pictures in batches:
        for start in range(0, len(pictures), BATCH):
            some: Pictures = np.asarray(pictures[start : start + BATCH])
            predict = getattr(extractor, "predict", None)
            if predict is None:
                parts.append(checked_batch(extractor, some))
            else:
                prediction = predict(some)
                parts.append(prediction.features)
                for name, probabilities in prediction.probabilities.items():
                    seen.setdefault(name, []).append(probabilities.argmax(1).astype(np.int64))
            done += len(some)
            if progress:
                progress(done, total)
    features = np.concatenate(parts) if parts else np.empty((0, extractor.size), np.float32)
    return Measured(features, {name: np.concatenate(values) for name, values in seen.items()})


class Reference:
    """A set of real pictures of one size. What is computed of it is kept next to the decoded pictures."""

    def __init__(self, pictures: PictureSet, cache: Path | None = None) -> None:
        self.pictures = pictures
        self.folder = cache_folder(cache) / "features"

    def key(self, extractor: Extractor, *more: object) -> str:
        return fingerprint_of(
            "features", VERSION, self.pictures.fingerprint, extractor.name, extractor.fingerprint, *more
        )

    def measured(self, extractor: Extractor, progress: Progress | None = None) -> Measured:
        """The features of all pictures: from the cache, or computed and kept. Raises KaoganError."""
        path = self.folder / f"{self.key(extractor)}.safetensors"
        if found := self._read(path, extractor):
            return found
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                if found := self._read(path, extractor):
                    return found
                made = measure(extractor, self.pictures.batches(BATCH), len(self.pictures), progress)
                arrays = {"features": made.features, **{f"seen/{n}": v for n, v in made.seen.items()}}
                with atomic(path) as temporary:
                    save_file(arrays, temporary)
        except OSError as error:
            raise explain(error, path) from error
        except SafetensorError as error:
            raise KaoganError(f"{path} cannot be written ({error}); KAOGAN_CACHE names its folder") from error
        return made

    def remembered(self, extractor: Extractor, what: list[object], compute: Callable[[], Any]) -> Any:
        """A JSON value that depends on the features and on ``what`` alone."""
        path = self.folder / f"{self.key(extractor, *what)}.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            value = compute()
            write_text(path, json.dumps(value))
            return value

    def _read(self, path: Path, extractor: Extractor) -> Measured | None:
        """The entry if it is there and whole, else None: a damaged one is made again."""
        try:
            with safe_open(path, "np") as opened:
                arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
        except (OSError, SafetensorError):
            return None
        features = arrays.pop("features", None)
        if features is None or features.shape != (len(self.pictures), extractor.size):
            return None
        return Measured(features, {name.removeprefix("seen/"): value for name, value in arrays.items()})
