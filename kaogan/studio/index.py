"""Index of the models, runs, picture sets and direction files in the studio's folders.

A request names an entry of this list and never a path, so nothing outside of the folders (and of the models that
come with kaogan) can be read.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from kaogan.core.errors import UsageError, nearest
from kaogan.data import dataset
from kaogan.generate.explore.directions_io import is_direction_file
from kaogan.generate.model_io import CONFIG, MODELS, WEIGHTS, model_names

AVATARS = "(avatars)"  # the name of the built-in ones, which no folder is likely to have
BEST = "best"  # the folder of a run's best measured model
DEPTH = 4  # folders below a root
MAX_FOLDERS = 5_000  # looked into in one search
MIN_PICTURES = 8  # that make a folder a set
CACHE_SECONDS = 2.0  # for which a search is good
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".avif"}
LABEL_FILES = {"dataset.json", "labels.csv"}  # beside the folder of the pictures
SKIPPED_FOLDERS = {"node_modules", "__pycache__", "checkpoints", "grids", "tensorboard"}


@dataclass
class IndexEntries:
    """Paths by the names that requests give."""

    models: dict[str, Path] = field(default_factory=dict)
    runs: dict[str, Path] = field(default_factory=dict)
    sets: dict[str, Path] = field(default_factory=dict)
    directions: dict[str, Path] = field(default_factory=dict)  # files of them
    shipped: dict[str, Path] = field(default_factory=dict)  # named models of kaogan itself; a folder's own ones win

    @property
    def all_models(self) -> dict[str, Path]:
        """The folders' own models, then the shipped ones."""
        return self.models | {name: path for name, path in self.shipped.items() if name not in self.models}

    @property
    def opening(self) -> str | None:
        """The model that the studio opens on: the own one that was written last, or the best of its run where that was
        measured on features that it was not trained against; else a shipped one."""
        times: dict[str, float] = {}
        for name, path in self.models.items():
            with suppress(OSError):
                times[name] = (path / WEIGHTS).stat().st_mtime
        if not times:
            return next(iter(self.shipped), None)
        newest = max(times, key=times.__getitem__)
        run = self.models[newest].parent
        wanted = run / (BEST if _chosen_fairly(run) else "model")
        return next((name for name, path in self.models.items() if path == wanted and _is_run(run)), newest)

    def set_of(self, model: str, data: Mapping[str, Any]) -> str:
        """The set that a model was trained on, "" where it is not here: by the path that its run tells, else by the
        name in ``data``, the model's own account of it."""
        source, run = str(data.get("name", "")), self.runs.get(model.removesuffix(f"/{BEST}"))
        with suppress(OSError, ValueError, KeyError, TypeError):
            if run is not None:
                source = str(json.loads((run / "data.json").read_text(encoding="utf-8"))["source"])
        for name, path in self.sets.items():
            if source in (str(path), path.name, f"{path.name}.zip"):
                return name
        return AVATARS if source == dataset.AVATARS else ""


class ModelIndex:
    def __init__(self, roots: Sequence[Path]) -> None:
        """``roots``: the folders to search; names in the first have no prefix. Raises UsageError for an absent one."""
        for root in roots:
            if not root.is_dir():
                raise UsageError(f"no such folder {root}; name one with models, runs or pictures")
        self.roots = list(dict.fromkeys(root.resolve() for root in roots))
        self._lock = threading.Lock()
        self._found, self._when = IndexEntries(), -CACHE_SECONDS

    def found(self, fresh: bool = False) -> IndexEntries:
        with self._lock:
            if fresh or time.monotonic() - self._when >= CACHE_SECONDS:
                self._found = self._search()
                self._when = time.monotonic()
            return self._found

    def model(self, entry: str) -> Path:
        """Raises UsageError."""
        return _pick("model", entry, self.found().all_models)

    def run(self, entry: str) -> Path:
        """Raises UsageError."""
        return _pick("run", entry, self.found().runs)

    def set(self, entry: str) -> Path:
        """Raises UsageError."""
        return _pick("set of pictures", entry, self.found().sets)

    def directions(self, entry: str) -> Path:
        """Raises UsageError."""
        return _pick("file of directions", entry, self.found().directions)

    def _search(self) -> IndexEntries:
        found = IndexEntries(shipped={name: MODELS / name for name in model_names()})
        for number, root in enumerate(self.roots):
            for folder, files in _folders(root):
                inside = folder.relative_to(root).as_posix()
                entry = root.name if inside == "." else inside if number == 0 else f"{root.name}/{inside}"
                for name in sorted(files):
                    if name.endswith(".safetensors") and name != WEIGHTS and _is_direction_file(folder / name):
                        found.directions[name if folder == root and number == 0 else f"{entry}/{name}"] = folder / name
                if {CONFIG, WEIGHTS} <= files:
                    found.models[entry.removesuffix("/model") if _is_run(folder.parent) else entry] = folder
                    continue
                if _is_run(folder):
                    found.runs[entry] = folder
                    continue
                for name in sorted(files):
                    if name.endswith(".zip") and _is_set(folder / name):
                        found.sets[name if inside == "." and number == 0 else f"{entry}/{name}"] = folder / name
                if LABEL_FILES & files or sum(_is_picture(name) for name in files) >= MIN_PICTURES:
                    found.sets[entry] = folder
        return found


def _folders(root: Path) -> Iterator[tuple[Path, set[str]]]:
    """Each folder and the names of the files in it; symbolic links lead out of the root and are not followed."""
    for name, folders, files in itertools.islice(os.walk(root, followlinks=False), MAX_FOLDERS):
        path = Path(name)
        kept = {file for file in files if not (path / file).is_symlink()}
        depth = len(path.relative_to(root).parts)
        whole = depth >= DEPTH or (depth > 0 and {CONFIG, *LABEL_FILES} & kept)
        folders[:] = [] if whole else sorted(f for f in folders if not f.startswith(".") and f not in SKIPPED_FOLDERS)
        yield path, kept


def _is_direction_file(path: Path) -> bool:
    return _told(is_direction_file, path)


def _is_set(path: Path) -> bool:
    """Whether a zip has pictures enough."""
    return _told(_has_pictures, path)


def _told(question: Callable[[Path], bool], path: Path) -> bool:
    """The answer about a file, kept while the file is the same."""
    try:
        stamp = path.stat()
    except OSError:
        return False
    return _told_cached(question, path, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=1024)
def _told_cached(question: Callable[[Path], bool], path: Path, changed: int, size: int) -> bool:
    return question(path)


def _has_pictures(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as opened:
            return sum(_is_picture(name) for name in opened.namelist()) >= MIN_PICTURES
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def _chosen_fairly(run: Path) -> bool:
    """Whether a run's best model was measured on features that its training has not looked through."""
    try:
        against = json.loads((run / BEST / CONFIG).read_text(encoding="utf-8"))["trained_against"]
        measured = yaml.safe_load((run / "recipe.yaml").read_text(encoding="utf-8"))["eval"]["features"]
        return str(measured).partition("=")[0] not in against
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return False


def _is_run(folder: Path) -> bool:
    return (folder / "recipe.yaml").is_file() and (folder / "data.json").is_file()


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - names by the ten thousand


def _pick(what: str, entry: str, known: dict[str, Path]) -> Path:
    if entry not in known:
        hint = nearest(entry, known) if len(known) <= 20 else ""
        raise UsageError(f"no {what} '{entry[:100]}' in the studio's folders{hint}")
    return known[entry]
