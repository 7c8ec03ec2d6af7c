"""The directory of a run: self-contained, owned by one process at a time.

recipe.yaml  data.json  log.txt  stats.jsonl  tensorboard/       what was asked for, and what happened
real.png  grids/000050000.png ...  loss.png  attributes.png  fid.png  progress.gif  progress.mp4
checkpoints/checkpoint-0000050000.safetensors                    everything needed to go on
model/  best/                                                    what one shares: the latest, the best measured
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from kaogan.config import recipes
from kaogan.config.recipe import Described
from kaogan.core import checkpoint
from kaogan.core.atomic_io import TEMPORARY_SUFFIX, explain, sweep, write_text
from kaogan.core.errors import KaoganError, UsageError
from kaogan.core.loaded_plugins import changed_plugins, plugin_records, recorded
from kaogan.core.resume import resume
from kaogan.core.text import printable
from kaogan.core.training_loop import State
from kaogan.data import PictureSet

# Changing these between two sessions changes neither the weights nor the clock of what is already trained.
RESUMABLE_KEYS = (
    "name", "summary", "source", "data.workers", "training.images", "run.device", "run.deterministic", "run.compile",
    "run.licence", "run.stats_every",
    "run.grid_every", "run.checkpoint_every", "run.keep_last", "run.keep_every", "run.grid_pictures", "run.loss_limit",
    "run.latent_filter",
    "eval",
)  # fmt: skip
MOST_TOLD = 6  # of the settings that changed, on a terminal; the file of its own has all


class RunDir:
    """Opens (and makes) the folder and locks it; as a context manager it also turns a disk's errors into one line.

    Raises KaoganError when the folder can't be written or is in use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.exists() and not path.is_dir():
                raise UsageError(f"{path} is a file; --out must name a folder")
            if path.is_dir() and any(path.iterdir()) and not self.recipe_path.exists() and not self._only_ours():
                raise UsageError(f"{path} is not empty and holds no run; choose another folder with --out")
            for folder in (path, self.checkpoints, self.grids):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(path / ".lock")
            self._lock.acquire(timeout=0)
            sweep(path)
            self._handler = _LogFile(path / "log.txt", encoding="utf-8")
        except Timeout:
            raise KaoganError(f"{path} is in use by another kaogan; wait for it or choose another --out") from None
        except OSError as error:
            raise explain(error, path) from None
        self.log = logging.getLogger(f"kaogan.run.{os.getpid()}.{id(self)}")
        self.log.setLevel(logging.INFO)
        self.log.propagate = False
        self._handler.setFormatter(_Printable("%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S"))
        self.log.addHandler(self._handler)

    @property
    def recipe_path(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def grids(self) -> Path:
        return self.path / "grids"

    @property
    def stats(self) -> Path:
        return self.path / "stats.jsonl"

    @property
    def model(self) -> Path:
        return self.path / "model"

    def grid_at(self, clock: int) -> Path:
        return self.grids / f"{clock:09d}.png"

    def close(self) -> None:
        self.log.removeHandler(self._handler)
        with contextlib.suppress(OSError):  # a full disk, which has been reported
            self._handler.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if isinstance(error, OSError):
            raise explain(error, Path(error.filename) if isinstance(error.filename, str) else self.path) from error

    def open_session(
        self, state: State, recipe: Described, data: dict[str, Any], load: Callable[[Path], Described],
        free: Iterable[str], allow_changes: bool,
    ) -> bool:  # fmt: skip
        """Load the newest good checkpoint into ``state`` and write this session's settings; whether there was one.

        ``load`` reads a recipe file of the run's kind; ``free`` are the keys that may change between two sessions.
        Raises UsageError for other changes unless ``allow_changes``, KaoganError when no checkpoint can be used: then
        nothing in the folder has changed.
        """
        changes = [
            f"{key} was {_shown(before)}, now {_shown(now)}"
            for key, before, now in self.changed_settings(recipe, data, load, free)
        ]
        changed = "; ".join(changes)
        more = f"; and {len(changes) - MOST_TOLD} more" if len(changes) > MOST_TOLD else ""
        told = "; ".join(changes[:MOST_TOLD]) + more
        if changes and not allow_changes:
            raise UsageError(
                f"{self.path} was trained with other settings: {told}. Use another --out, or --allow-changes to go on "
                "with the new settings; its own are in recipe.yaml and data.json there"
            )
        try:
            resumed = resume(state, self.checkpoints, self.path)
        except KaoganError as error:
            if not changed or isinstance(error, UsageError):
                raise
            raise KaoganError(f"{error}, or give the former settings again: {told}") from None
        self.write_settings(recipe, data)
        if changed:
            self.log.info("settings changed: %s", changed)
        resumed.accept(self.log, state.images_seen)
        self.truncate_stats(state.images_seen)
        return bool(resumed)

    def changed_settings(
        self, recipe: Described, data: dict[str, Any], load: Callable[[Path], Described], free: Iterable[str]
    ) -> list[tuple[str, Any, Any]]:
        """(key, before, now) of the settings and of the data that differ from those of the last session; those of
        ``free`` do not count. None before the first checkpoint: there is nothing yet that other settings could spoil.
        """
        if not checkpoint.find(self.checkpoints):
            return []
        try:
            changes = recipes.diff(load(self.recipe_path), recipe, ignore=free)
            data_before = json.loads((self.path / "data.json").read_text(encoding="utf-8"))
        except (UsageError, OSError, ValueError) as error:
            raise KaoganError(f"cannot read the settings of the run in {self.path} ({error})") from None
        if data_before.get("fingerprint") in data.get("former_fingerprints", ()):  # a run of an earlier release
            data_before["fingerprint"] = data["fingerprint"]
        keys = [key for key in ("fingerprint", "selected", "attributes") if key in data]
        if any(key in ("data.instance_selection", "data.clear_eyes") for key, *_ in changes):
            keys = [key for key in keys if key != "selected"]  # which is no further change
        changes += [
            (f"data {key}", data_before.get(key), data[key]) for key in keys if data_before.get(key) != data[key]
        ]
        return changes + list(changed_plugins(recorded(data_before.get("plugins"))))

    def write_settings(self, recipe: Described, data: dict[str, Any]) -> None:
        write_text(self.path / "data.json", json.dumps(data, indent=2, ensure_ascii=False))
        write_text(self.recipe_path, recipes.dump(recipe))

    def append_stats(self, line: dict[str, Any]) -> None:
        try:
            with self.stats.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")
        except OSError as error:
            raise explain(error, self.stats) from None

    def truncate_stats(self, clock: int) -> None:
        """Drop the lines after ``clock`` (and a half-written one): they will be made again."""
        if not self.stats.exists():
            return
        kept = []
        for line in self.stats.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["clock"] <= clock:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue
        write_text(self.stats, "".join(kept))

    def _only_ours(self) -> bool:
        """A run that was stopped before its recipe was written."""
        ours = (".lock", "log.txt", "checkpoints", "grids", "data.json")
        return all(p.name in ours or TEMPORARY_SUFFIX in p.name for p in self.path.iterdir())


def data_record(pictures: PictureSet) -> dict[str, Any]:
    """What a run remembers of its data, in data.json."""
    former = {"former_fingerprints": list(pictures.former_fingerprints)} if pictures.former_fingerprints else {}
    return {
        "source": pictures.source,
        "count": len(pictures.images),
        "fingerprint": pictures.fingerprint,
        "skipped": len(pictures.skipped),
        **former,
        "plugins": plugin_records(),
    }


class _Printable(logging.Formatter):
    """Names of pictures and settings may hold anything, and a log is looked at in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _LogFile(logging.FileHandler):
    """A log whose errors stop the run with one line, not with a traceback at each further line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        error = sys.exc_info()[1]
        raise explain(error, Path(self.baseFilename)) if isinstance(error, OSError) else KaoganError(str(error))


def _shown(value: Any) -> str:
    """A setting; attributes by their names, as their values and shares would fill a screen."""
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return ", ".join(_entry_shown(each) for each in value)
    return repr(value)


def _entry_shown(entry: Mapping[str, Any]) -> str:
    """One attribute, or one entry of a list of networks: what of it is set."""
    if "values" in entry:
        return f"{entry['name']} ({len(entry['values'])} values)"
    rest = [f"{key} {value}" for key, value in entry.items() if key != "name" and value is not None]
    return f"{entry['name']} ({', '.join(rest)})" if rest else str(entry["name"])
