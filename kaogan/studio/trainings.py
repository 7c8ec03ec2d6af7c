"""Trainings started, stopped and watched from the page."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import kaogan
from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.errors import KaoganError, UsageError
from kaogan.studio.index import AVATARS, ModelIndex
from kaogan.studio.params import MAX_SEED, Query, whole
from kaogan.training import plots

MAX_STATS = 32 * 2**20  # bytes of a stats.jsonl
MAX_POINTS = 240  # of a curve
MAX_GRIDS = 60
LOG_TAIL_BYTES = 6_000  # of log.txt
STOP_SECONDS = 60  # that a stopping training has for its checkpoint when the studio ends
LIVE_SECONDS = 20.0  # since the last number, within which a run counts as running elsewhere


class TrainingProcess:
    """One ``kaogan train`` and the last lines that it has printed."""

    def __init__(self, arguments: list[str]) -> None:
        # -P and an absolute path: what lies in the folder of the runs is never imported.
        home = str(Path(kaogan.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
        self.stopping = False
        self.lines: deque[str] = deque(maxlen=40)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-u", "-m", "kaogan", "train", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", "COLUMNS": "400"},
            # A Ctrl-C for the studio is not one for the training: it hears of it in order. The flag is Windows' form.
            start_new_session=True, creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )  # fmt: skip
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """As Ctrl-C does: the training leaves a checkpoint. Once only, since a second one is obeyed at once."""
        # SIGTERM, which kaogan takes for a Ctrl-C: a studio in the background hands on that SIGINT is to be ignored. On
        # Windows it would end the process on the spot; Ctrl-Break is what another process group can be sent there.
        if self.running and not self.stopping:
            self.stopping = True
            self.process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip()[:500])


class TrainingManager:
    """Those that the studio has started, one at a time. ``allowed`` is whether it may start and stop them."""

    def __init__(self, model_index: ModelIndex, allowed: bool = True) -> None:
        root = model_index.roots[0]
        self.home = root if root.name == "runs" else root / "runs"
        self.model_index, self.allowed = model_index, allowed
        self._trainings: dict[Path, TrainingProcess] = {}
        self._lock = threading.Lock()

    def start(self, query: Query) -> str:
        """Start a new run; returns its name in the index. Raises UsageError for what cannot be trained."""
        name = query.get("name", "").strip()
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}", name):
            raise UsageError("the name of a run is made of letters, digits, - and _")
        out = self.home / name
        if out.exists():
            raise UsageError(f"there is a run '{name}' already; go on with it or choose another name")
        overrides = {
            key: whole(query, key, 0, minimum, maximum)
            for key, minimum, maximum in (
                ("images", 1, 10**9), ("image_size", 8, 1024), ("batch_size", 2, 4096), ("seed", 0, MAX_SEED),
            )
            if query.get(key, "").strip()
        }  # fmt: skip
        recipe = query.get("recipe", "")
        if recipe not in recipes.names():
            recipes.text(recipe)  # names the nearest one
        _check(recipes.load(recipe, overrides))
        call = [recipe, "--out", str(out), *self._data(query.get("data") or AVATARS)]
        for key, value in overrides.items():
            call += [f"--{key.replace('_', '-')}", str(value)]
        self._launch(out, call)
        return out.relative_to(self.model_index.roots[0]).as_posix()

    def resume(self, name: str, query: Query) -> None:
        """Go on with a run, with its own recipe and pictures, to ``images`` in all. Raises UsageError."""
        run = self.model_index.run(name)
        call = ["--recipe", str(run / "recipe.yaml"), "--out", str(run), *self._data(self._source(run))]
        if images := whole(query, "images", 0, 1, 10**9):
            call += ["--images", str(images)]
        self._launch(run, call)

    def stop(self, name: str) -> None:
        """Raises UsageError for a run that the studio has not started."""
        self._check_allowed()
        training = self._trainings.get(self._path(name))
        if training is None or not training.running:
            raise UsageError(f"'{name}' was not started here; stop it where it was started, with Ctrl-C")
        training.stop()

    def state(self, name: str) -> dict[str, Any]:
        """Everything that the page shows of a run. Raises UsageError."""
        path = self._path(name)
        training = self._trainings.get(path)
        shown = {"run": name, "allowed": self.allowed, "running": bool(training and training.running),
                 "stopping": bool(training and training.running and training.stopping),
                 "messages": list(training.lines)[-8:] if training else [],
                 "code": training.process.poll() if training else None}  # fmt: skip
        return {**shown, **watch(path)}

    def close(self) -> None:
        """Stop all, and wait for their checkpoints."""
        running = [training for training in self._trainings.values() if training.running]
        for training in running:
            training.stop()
        for training in running:
            try:
                training.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                training.process.terminate()

    def _path(self, name: str) -> Path:
        root = self.model_index.roots[0]
        for path in self._trainings:  # a training that has not written anything yet is not in the index
            if path.is_relative_to(root) and path.relative_to(root).as_posix() == name:
                return path
        return self.model_index.run(name)

    def _launch(self, out: Path, call: list[str]) -> None:
        self._check_allowed()
        with self._lock:
            for path, training in self._trainings.items():
                if training.running:
                    raise UsageError(f"'{path.name}' is being trained; the studio trains one at a time: stop it first")
            self._trainings[out] = TrainingProcess(call)

    def _check_allowed(self) -> None:
        if not self.allowed:
            raise UsageError(
                "trainings can be started and stopped only from the studio's own machine (--host 127.0.0.1)"
            )

    def _data(self, name: str) -> list[str]:
        return [] if name == AVATARS else ["--data", str(self.model_index.set(name))]

    def _source(self, run: Path) -> str:
        """The name of the set that a run was begun with. Raises UsageError when it is none of the studio's."""
        try:
            source = str(json.loads((run / "data.json").read_text(encoding="utf-8"))["source"])
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(f"cannot read {run.name}/data.json; go on in a terminal with kaogan train") from None
        if source == "avatars":
            return AVATARS
        for name, path in self.model_index.found().sets.items():
            if path == Path(source).resolve():
                return name
        raise UsageError(f"the pictures of '{run.name}' are not in the studio's folders; go on in a terminal")


def watch(path: Path) -> dict[str, Any]:
    """The clock, curves, grids and log of the run in ``path``, of which nothing needs to be there yet."""
    total = 0
    with suppress(KaoganError):
        total = recipes.load(_file_inside(path, "recipe.yaml")).training.images
    file, age = _file_inside(path, "stats.jsonl"), None
    stats: list[dict[str, Any]] = []
    with suppress(OSError, KaoganError):
        found = file.stat()
        age = max(0.0, time.time() - found.st_mtime)
        stats = plots.read_stats(file) if found.st_size <= MAX_STATS else []
    clock = int(stats[-1]["clock"]) if stats else 0
    grids = grid_clocks(path)
    chosen = np.unique(np.linspace(0, len(grids) - 1, min(len(grids), MAX_GRIDS)).astype(int))
    finished = bool(total) and clock >= total
    return {
        "clock": clock,
        "total": total,
        "finished": finished,
        "live": age is not None and age < LIVE_SECONDS and not finished,
        "curves": curves(stats),
        "warning": str(stats[-1].get("warning_text", "")) if stats else "",
        "grids": [grids[number] for number in chosen],
        "log": _tail(_file_inside(path, "log.txt")),
    }


def _file_inside(path: Path, name: str) -> Path:
    """A file of a run, but for a link that leads out of it: what is nowhere is read instead."""
    file = path / name
    return file if file.resolve().is_relative_to(path.resolve()) else path / ".outside"


def curves(stats: list[dict[str, Any]]) -> dict[str, list[list[float]]]:
    """Key -> [[clock, mean], ...], of at most ``MAX_POINTS`` equal parts each."""
    others = ("clock", "seconds", "warning", "warning_text")
    keys = dict.fromkeys(key for line in stats[-50:] for key in line if key not in others)
    found: dict[str, list[list[float]]] = {}
    for key in list(keys)[:24]:
        clocks, values = plots.series(stats, key)
        if not len(clocks):
            continue
        parts = np.array_split(np.arange(len(clocks)), min(len(clocks), MAX_POINTS))
        found[key] = [[float(clocks[part[-1]]), float(np.mean(values[part]))] for part in parts]
    return found


def grid_clocks(path: Path) -> list[int]:
    names = (file.stem for file in _file_inside(path, "grids").glob("*.png") if not file.is_symlink())
    return sorted(int(name) for name in names if re.fullmatch(r"\d{1,12}", name))


def grid_file(path: Path, clock: int) -> Path:
    """Raises UsageError."""
    if clock not in grid_clocks(path):
        raise UsageError(f"no grid at {clock:,} images")
    return path / "grids" / f"{clock:09d}.png"


@cache
def recipe_list() -> list[dict[str, Any]]:
    """The published recipes, for the list of the page."""
    found = []
    for name in recipes.names():
        recipe = recipes.load(name)
        found.append({"name": name, "summary": recipe.summary, "images": recipe.training.images,
                      "image_size": recipe.image_size, "batch_size": recipe.training.batch_size})  # fmt: skip
    return found


def _check(recipe: Recipe) -> None:
    from kaogan.core.device import choose_device
    from kaogan.training.state import check_networks

    choose_device(recipe.run.device)
    check_networks(recipe)


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            return file.read(LOG_TAIL_BYTES).decode("utf-8", "replace").splitlines()[-12:]
    except OSError:
        return []
