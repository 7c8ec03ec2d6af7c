"""Training a GAN in a run directory: ``train``, and what each event of its schedule does.

The loop itself is ``kaogan.core.training_loop.TrainingLoop.run``, a step is ``GANTrainer.step``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.checkpoint import find
from kaogan.core.device import choose_device, describe, import_compiler_aside
from kaogan.core.distributed import ALONE, Processes
from kaogan.core.errors import KaoganError, UsageError, is_out_of_memory
from kaogan.core.interruption import ignore_stop
from kaogan.core.progress import Progress, no_progress
from kaogan.core.training_loop import (
    Intervals,
    OnProgress,
    TrainingLoop,
    TrainProgress,
    TrainResult,
    no_train_progress,
)
from kaogan.data import PictureSet
from kaogan.generate.model_io import CONFIG, WEIGHTS
from kaogan.training import plots
from kaogan.training.evaluator import Evaluator, check_evaluation
from kaogan.training.failure_detector import LINES, RunFacts, find_failure
from kaogan.training.instance_selection import select_instances
from kaogan.training.latent_filter import fit_at_end
from kaogan.training.numerics import compiled, numerics, training_precision
from kaogan.training.run_dir import RESUMABLE_KEYS, RunDir, data_record
from kaogan.training.run_logger import RunLogger
from kaogan.training.sampler import InfiniteSampler, hold_out
from kaogan.training.start_from import begin_with
from kaogan.training.state import TrainState, build_train_state, compilable
from kaogan.training.step import GANTrainer
from kaogan.training.trackers import Tracker

SHARE = 0.01
"""Of the time, on a card, for each of reports, grids and checkpoints, however fast the images go by."""

__all__ = ["TrainProgress", "TrainResult", "train"]


def train(
    recipe: Recipe,
    pictures: PictureSet,
    out: Path,
    *,
    allow_changes: bool = False,
    on_progress: OnProgress = no_train_progress,
    on_stop: Callable[[], None] = ignore_stop,
    minutes: float = math.inf,
    track: str = "",
    processes: Processes = ALONE,
    progress: Progress = no_progress,
) -> TrainResult:
    """Train ``recipe`` on ``pictures`` in the folder ``out``, going on from its newest good checkpoint.

    Raises UsageError for settings that don't fit the data or the run, KaoganError when the disk or the training fails;
    the last good checkpoint is always kept. Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 leave a checkpoint and return;
    ``on_stop`` is called at once. ``minutes`` end a session as well; ``track`` names a tracker of
    experiments. Of several ``processes`` the first one writes. ``progress`` tells of what comes after the last step.
    """
    check_evaluation(recipe)
    tracker = Tracker(track) if track and processes.first else None
    import_compiler_aside()  # saves seconds: PyTorch's compiler is imported in a thread
    if processes.count > 1 and ":" in recipe.run.device:
        raise UsageError(f"run.device {recipe.run.device} is one card for all processes; with cuda each takes its own")
    device = choose_device(recipe.run.device)
    precision = training_precision(recipe, device)
    state = build_train_state(recipe, pictures.schema, device, precision)
    if recipe.run.compile:
        compilable(recipe, state.generator)  # or refuse, before anything is written
    whole, (shown, held_out) = pictures, hold_out(pictures, recipe.data.held_out, recipe.run.seed)
    pictures = select_instances(shown, recipe.data.instance_selection, device, eyes=recipe.data.clear_eyes)
    sampler = InfiniteSampler(
        pictures, recipe.training.batch_size, recipe.run.seed, recipe.data.horizontal_flip, device
    )
    trainer = GANTrainer(recipe, pictures.schema, state, sampler, device, precision, processes)
    if not processes.first:
        tensors, numbers = processes.share(*state.state_dict())
        state.load_state_dict(tensors, numbers)
        with numerics(recipe, device, precision), compiled(recipe, state):
            log = logging.getLogger("kaogan.run.follower")
            return GANSteps(recipe, state, trainer, out, log, minutes).run(numbers["resumed"])
    data = (
        data_record(whole)
        | ({"selected": pictures.fingerprint} if pictures.selected_from else {})
        | {"attributes": pictures.schema.to_json()}
    )
    with RunDir(out) as folder:
        start = begin_with(state, recipe, pictures.schema, folder)
        resumed = folder.open_session(state, recipe, data | start.data, recipes.load, RESUMABLE_KEYS, allow_changes)
        start.tell(folder.log)
        tensors, numbers = state.state_dict()
        processes.share(tensors, numbers | {"resumed": resumed})
        logger = RunLogger(folder, recipe, pictures, state, device, start.base, tracker)
        logger.open(precision, describe(device))
        with numerics(recipe, device, precision), compiled(recipe, state):
            facts = RunFacts.of(recipe, pictures)
            loop = GANLoop(
                recipe, state, trainer, folder, logger, facts, held_out, None if held_out else shown, minutes
            )
            result = loop.run(resumed, on_progress, on_stop)
        if failure := loop.evaluator.failure:
            told = f"Nothing more was measured, as an evaluation failed: {failure}"
            result = replace(result, warning=" ".join(filter(None, (result.warning, told))))
        logger.close(result.finished, result.seconds)
        if result.finished and not result.out_of_time:
            told = fit_at_end(recipe, folder, pictures.source, result.images_seen, progress, on_stop)
            result = replace(result, latent_filter=told)
        return result


class GANSteps(TrainingLoop):
    """The steps of a recipe, and the EMA after each of the generator's: all that further processes do."""

    state: TrainState

    def __init__(
        self, recipe: Recipe, state: TrainState, trainer: GANTrainer, out: Path, log: logging.Logger,
        minutes: float = math.inf,
    ) -> None:  # fmt: skip
        run = recipe.run
        super().__init__(
            state, recipe.training.images, recipe.training.batch_size,
            Intervals(run.stats_every, run.checkpoint_every, run.grid_every, run.keep_last, run.keep_every),
            out, out / "checkpoints", log, run.loss_limit, trainer.meters, minutes=minutes,
            processes=trainer.shards.processes, share=math.inf if trainer.loss.device.type == "cpu" else SHARE,
        )  # fmt: skip
        self.recipe, self.trainer = recipe, trainer

    def step(self) -> None:
        try:
            self._generator_updated = self.trainer.step()
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise self._out_of_memory() from None
            raise

    def after_step(self) -> None:
        if self._generator_updated:
            self.state.ema.update(self.state.images_seen, self.batch_size * self.recipe.training.n_critic)

    def _out_of_memory(self) -> KaoganError:
        training, batch, shards = self.recipe.training, self.batch_size, self.recipe.training.shards
        more = next((n for n in range(2 * shards, batch + 1) if batch % n == 0), None)
        remedy = "a smaller --image-size or narrower networks need less"
        if more:
            go_on = "--allow-changes and " if find(self.checkpoints) else ""
            # Which keeps the maps of all shards until the generator's step.
            apart = "--training.reuse_fakes false and " if training.reuse_fakes else ""
            remedy = f"{go_on}{apart}--training.shards {more} takes {batch // more} at a time, with the same batch"
        return KaoganError(f"out of memory in {self.folder} with {batch // shards} pictures at a time; {remedy}")

    def advice(self, kept: bool) -> str:
        go_on = "--allow-changes and " if kept else ""
        return (
            f"Try again with {go_on}a lower learning rate (--optim.lr), --precision fp32, or a penalty "
            "(--penalties.r1.weight 1)"
        )


class GANLoop(GANSteps):
    """What the first process does beside: stats, grids, the model folder, evaluation."""

    def __init__(
        self, recipe: Recipe, state: TrainState, trainer: GANTrainer, folder: RunDir, logger: RunLogger,
        facts: RunFacts, held_out: PictureSet | None = None, whole: PictureSet | None = None,
        minutes: float = math.inf,
    ) -> None:  # fmt: skip
        super().__init__(recipe, state, trainer, folder.path, folder.log, minutes)
        self.logger = logger
        self.evaluator = Evaluator(recipe, logger, held_out, whole)
        self.run_dir, self.facts = folder, facts
        self.lines = plots.read_stats(folder.stats)[-LINES:] if folder.stats.exists() else []
        self.warning = str(find_failure(self.lines, facts) or "")

    def report(self, stats: dict[str, float]) -> None:
        clock, before = self.state.images_seen, self.warning
        self.lines = [*self.lines, {"clock": clock, **stats}][-LINES:]
        failure = find_failure(self.lines, self.facts)
        words = {"warning": failure.name, "warning_text": str(failure)} if failure else {}
        self.logger.log_stats(clock, stats, words)
        self.warning = str(failure or "")
        if failure and not before:
            self.run_dir.log.info("warning at %d images: %s", clock, failure)
        elif before and not failure:
            self.run_dir.log.info("no longer at %d images: %s", clock, before.partition(":")[0])

    def evaluate(self) -> None:
        self.evaluator.evaluate_if_due(self.state.images_seen)

    def should_stop(self) -> bool:
        return self.evaluator.should_stop

    def snapshot(self) -> None:
        self.logger.save_grid(self.state.images_seen)

    def save_model(self) -> None:
        self.logger.save_model(None, self.evaluator.measured)

    def has_model(self) -> bool:
        return all((self.logger.folder.model / name).is_file() for name in (CONFIG, WEIGHTS))
