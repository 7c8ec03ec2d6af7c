"""The training loop: one function to read from top to bottom."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kaogan.config.recipe import Recipe
from kaogan.core import checkpoint
from kaogan.core.atomic_io import explain
from kaogan.core.device import choose_device, choose_precision, describe
from kaogan.core.errors import KaoganError
from kaogan.core.loaded_plugins import plugin_records
from kaogan.data import PictureSet
from kaogan.training.evaluator import Evaluation
from kaogan.training.run_dir import RunFolder
from kaogan.training.run_logger import Souvenirs
from kaogan.training.sampler import Batches
from kaogan.training.state import (
    Players,
    build_players,
    collect,
    finite,
    import_compiler_aside,
    restore,
    set_learning_rates,
)
from kaogan.training.step import Steps


@dataclass(frozen=True)
class Progress:
    """What the caller may show: images shown of how many, means since the last line, images per second."""

    clock: int
    total: int
    stats: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    clock: int
    finished: bool
    seconds: float
    """Of this sitting."""
    path: Path


def train(
    recipe: Recipe,
    pictures: PictureSet,
    out: Path,
    *,
    allow_changes: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Train ``recipe`` on ``pictures`` in the folder ``out``, going on from its newest good checkpoint.

    Raises UsageError for settings that don't fit the data or the run, KaoganError when the disk or the training fails;
    the last good checkpoint is always kept. Ctrl-C and SIGTERM leave a checkpoint and return.
    """
    import_compiler_aside()
    settings, run = recipe.training, recipe.run
    device = choose_device(run.device)
    precision = choose_precision(run.precision, device)
    players = build_players(recipe, pictures.schema, device, precision)
    batches = Batches(pictures, settings.batch_size, run.seed, recipe.data.horizontal_flip)
    steps = Steps(recipe, pictures.schema, players, batches, device, precision)
    folder = RunFolder(out)
    try:
        folder.settle(recipe, describe_data(pictures), allow_changes)
        resume(players, folder)
        first, began, seconds_before = players.clock, time.monotonic(), players.seconds
        souvenirs = Souvenirs(folder, recipe, pictures, players, device)
        souvenirs.begin(precision, describe(device))
        evaluation = Evaluation(recipe, souvenirs)
        tick, tick_began = players.clock, began

        with interruptible() as interrupted:
            while True:
                clock = players.clock
                players.seconds = seconds_before + time.monotonic() - began - evaluation.seconds
                tick_began += evaluation.take(clock)
                last = clock >= settings.images or bool(interrupted) or evaluation.exhausted
                fresh = clock > first or clock == 0  # what is due where a resumed run starts is mostly there already
                saving = last or (clock > 0 and due(run.checkpoint_every, clock, clock - settings.batch_size))

                if clock > tick and (last or due(run.stats_every, clock, tick)):
                    now = time.monotonic()
                    stats = {**steps.meters.take(), "images_per_second": (clock - tick) / (now - tick_began)}
                    check(stats, run.loss_limit, folder)
                    souvenirs.line(clock, stats)
                    on_progress(Progress(clock, settings.images, stats))
                    tick, tick_began = clock, now
                if saving and fresh:
                    check(steps.meters.means(), run.loss_limit, folder)
                    save(players, folder, recipe)
                if (last or due(run.grid_every, clock, clock - settings.batch_size)) and (
                    fresh or not folder.grid_at(clock).exists()
                ):
                    souvenirs.grid(clock)
                if saving and (fresh or not souvenirs.has_model(clock)):
                    souvenirs.model()
                if last:
                    break

                set_learning_rates(players, recipe)
                batch = batches.at(clock)
                critic_only = (clock // settings.batch_size + 1) % settings.n_critic != 0
                reuse = settings.reuse_fakes and not critic_only
                fakes = steps.discriminator(batch, reuse=reuse)
                if not critic_only:
                    steps.generator(batch, fakes if reuse else None)
                players.clock = clock + settings.batch_size
                if not critic_only:
                    players.average.update(players.clock, settings.batch_size * settings.n_critic)

        seconds = time.monotonic() - began
        finished = players.clock >= settings.images or evaluation.exhausted
        souvenirs.end(finished, seconds)
        return Outcome(players.clock, finished, seconds, folder.path)
    except OSError as error:
        raise explain(error, Path(error.filename) if isinstance(error.filename, str) else out) from error
    finally:
        folder.close()


def due(every: int, clock: int, before: int) -> bool:
    """Whether a multiple of ``every`` lies in (before, clock]."""
    return clock // every != before // every


def check(stats: dict[str, float], limit: float, folder: RunFolder) -> None:
    """Stop a run that has left the rails before it overwrites a good checkpoint."""
    for name in ("loss_d", "loss_g"):
        value = stats.get(name, 0.0)
        if math.isfinite(value) and abs(value) <= limit:
            continue
        what = "is not a number" if math.isnan(value) else f"ran away to {value:.3g}"
        raise _derailed(f"{name} {what}", folder)


def save(players: Players, folder: RunFolder, recipe: Recipe) -> None:
    if not finite(players):
        raise _derailed("a weight is not a number", folder)
    checkpoint.save(folder.checkpoints, *collect(players))
    checkpoint.rotate(folder.checkpoints, recipe.run.keep_last, recipe.run.keep_every)


def resume(players: Players, folder: RunFolder) -> None:
    """Go on from the newest checkpoint; fall back on the one before if it is damaged."""
    failures: dict[Path, str] = {}
    for path in reversed(checkpoint.find(folder.checkpoints)):
        try:
            restore(players, *checkpoint.load(path))
        except (KaoganError, ValueError, KeyError) as error:
            failures[path] = str(error) if isinstance(error, KaoganError) else f"{path.name}: {error}"
            folder.log.info("cannot use %s: %s", path.name, error)
            continue
        for unusable in failures:  # not to be counted among the last ones that are kept
            unusable.rename(unusable.with_name(f"{unusable.name}.unusable"))
        folder.log.info("resumed at %d images from %s", players.clock, path.name)
        break
    else:
        if failures:
            first = next(iter(failures.values()))
            raise KaoganError(f"no checkpoint in {folder.path} can be used ({first}); move it away to start anew")
    folder.rewind_stats(players.clock)


def describe_data(pictures: PictureSet) -> dict[str, object]:
    return {
        "source": pictures.source,
        "count": len(pictures.images),
        "fingerprint": pictures.fingerprint,
        "attributes": pictures.schema.to_json(),
        "skipped": len(pictures.skipped),
        **({"former_fingerprints": list(pictures.former_fingerprints)} if pictures.former_fingerprints else {}),
        "plugins": plugin_records(),
    }


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM in a list instead of dying of them; a second Ctrl-C is obeyed at once."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def note(number: int, frame: object) -> None:
        caught.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _derailed(what: str, folder: RunFolder) -> KaoganError:
    kept = checkpoint.find(folder.checkpoints)
    where = f"the last good checkpoint is {kept[-1].name}" if kept else "no checkpoint had been written yet"
    go_on = "--allow-changes and " if kept else ""
    message = (
        f"training stopped in {folder.path}: {what}; {where}. Try again with {go_on}a lower learning rate "
        "(--optim.lr), --precision fp32, or a penalty (--penalties.r1.weight 1)"
    )
    folder.log.info(message)
    return KaoganError(message)
