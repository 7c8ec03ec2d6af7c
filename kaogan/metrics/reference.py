"""The real pictures that everything is held against, and the cache of their features and statistics on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from kaogan.core.atomic_io import atomic, explain, write_text
from kaogan.core.errors import KaoganError
from kaogan.core.notes import note
from kaogan.core.progress import Progress, no_progress
from kaogan.data import PictureSet
from kaogan.data.cache import cache_folder, fingerprint_of
from kaogan.metrics.collect import Arrays, Collector, FeatureCollector, Look, Measured, collect, look_here
from kaogan.metrics.features import BATCH, Extractor

VERSION = 1  # raise it when a metric of the same features would come out differently


class Reference:
    """A set of real pictures of one size. What is computed of it is kept next to the decoded pictures."""

    def __init__(self, pictures: PictureSet, cache: Path | None = None) -> None:
        self.pictures = pictures
        self.folder = cache_folder(cache) / "features"

    def key(self, collector: Collector, *more: object) -> str:
        return fingerprint_of(
            "features", VERSION, self.pictures.fingerprint, collector.name, collector.fingerprint, *more
        )

    def collected(
        self, collectors: Sequence[Collector], progress: Progress = no_progress, look: Look = look_here
    ) -> list[Arrays]:
        """The arrays of all pictures, by collector: from the cache, or made in one pass and kept. Raises KaoganError.

        The collectors must be fresh. ``look`` is that of ``collect``.
        """
        paths = [self.folder / f"{self.key(collector)}.safetensors" for collector in collectors]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as locks:
                for path in sorted(set(paths)):  # in one order, so that no two processes wait for each other
                    locks.enter_context(FileLock(f"{path}.lock"))
                found = [self._read(path, collector) for path, collector in zip(paths, collectors, strict=True)]
                missing = [number for number, arrays in enumerate(found) if arrays is None]
                if missing:
                    what = f"real pictures, {', '.join(collectors[number].name for number in missing)}"
                    batches = self.pictures.batches(BATCH)
                    fresh = [collectors[number] for number in missing]
                    made = collect(batches, len(self.pictures), fresh, progress, what, look)
                    for number, arrays in zip(missing, made, strict=True):
                        found[number] = arrays
                        with atomic(paths[number]) as temporary:
                            save_file(arrays, temporary, {"sha256": _digest(arrays)})
        except OSError as error:
            raise explain(error, self.folder) from error
        except SafetensorError as error:
            raise KaoganError(f"{self.folder} cannot be written ({error}); KAOGAN_CACHE names its folder") from error
        return [arrays for arrays in found if arrays is not None]

    def measured(self, extractor: Extractor, progress: Progress = no_progress) -> Measured:
        """The features of all pictures by one extractor."""
        return Measured.of(self.collected([FeatureCollector(extractor)], progress)[0])

    def remembered(self, extractor: Extractor, what: list[object], compute: Callable[[], Any]) -> Any:
        """A JSON value that depends on the features and on ``what`` alone."""
        path = self.folder / f"{self.key(FeatureCollector(extractor), *what)}.json"
        if path.exists():
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
                if kept["sha256"] == _text_digest(kept["value"]):
                    return kept["value"]
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                pass
            note(f"{path} in the cache of features was damaged: made anew")
        value = compute()
        write_text(path, json.dumps({"sha256": _text_digest(value), "value": value}))
        return value

    def _read(self, path: Path, collector: Collector) -> Arrays | None:
        """The entry if it is there and whole, else None: a damaged one is made again, with a note."""
        if not path.exists():
            return None
        try:
            with safe_open(path, "np") as opened:
                arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
                digest = (opened.metadata() or {}).get("sha256")
        except (OSError, SafetensorError):
            arrays, digest = {}, None
        if digest != _digest(arrays):
            note(f"{path} in the cache of features was damaged: made anew")
            return None
        if isinstance(collector, FeatureCollector):
            features = arrays.get("features")
            if features is None or features.shape != (len(self.pictures), collector.extractor.size):
                return None
        return arrays


def _text_digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()
