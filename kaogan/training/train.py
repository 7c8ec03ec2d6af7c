"""Training a GAN in a run directory: ``train``, and what each event of its schedule does.

The loop itself is ``kaogan.core.training_loop.TrainingLoop.run``, a step is ``GANTrainer.step``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.device import choose_device, describe, import_compiler_aside
from kaogan.core.training_loop import (
    Intervals,
    OnProgress,
    TrainingLoop,
    TrainProgress,
    TrainResult,
    ignore_stop,
    no_train_progress,
)
from kaogan.data import PictureSet
from kaogan.generate.model_io import CONFIG, WEIGHTS
from kaogan.training import plots
from kaogan.training.evaluator import Evaluator
from kaogan.training.health import LINES, RunFacts, find_failure
from kaogan.training.numerics import numerics, training_precision
from kaogan.training.run_dir import RESUMABLE_KEYS, RunDir, data_record
from kaogan.training.run_logger import RunLogger
from kaogan.training.sampler import InfiniteSampler, hold_out
from kaogan.training.start_from import begin_with
from kaogan.training.state import TrainState, build_train_state
from kaogan.training.step import GANTrainer

__all__ = ["TrainProgress", "TrainResult", "train"]


def train(
    recipe: Recipe,
    pictures: PictureSet,
    out: Path,
    *,
    allow_changes: bool = False,
    on_progress: OnProgress = no_train_progress,
    on_stop: Callable[[], None] = ignore_stop,
) -> TrainResult:
    """Train ``recipe`` on ``pictures`` in the folder ``out``, going on from its newest good checkpoint.

    Raises UsageError for settings that don't fit the data or the run, KaoganError when the disk or the training fails;
    the last good checkpoint is always kept. Ctrl-C, SIGTERM and SIGHUP leave a checkpoint and return; ``on_stop`` is
    called at once.
    """
    import_compiler_aside()  # saves seconds: PyTorch's compiler is imported in a thread
    device = choose_device(recipe.run.device)
    precision = training_precision(recipe, device)
    state = build_train_state(recipe, pictures.schema, device, precision)
    whole, (pictures, held_out) = pictures, hold_out(pictures, recipe.data.held_out, recipe.run.seed)
    sampler = InfiniteSampler(
        pictures, recipe.training.batch_size, recipe.run.seed, recipe.data.horizontal_flip, device
    )
    trainer = GANTrainer(recipe, pictures.schema, state, sampler, device, precision)
    data = data_record(whole) | {"attributes": pictures.schema.to_json()}
    with RunDir(out) as folder:
        start = begin_with(state, recipe, pictures.schema, folder)
        resumed = folder.open_session(state, recipe, data | start.data, recipes.load, RESUMABLE_KEYS, allow_changes)
        start.tell(folder.log)
        logger = RunLogger(folder, recipe, pictures, state, device, start.base)
        logger.open(precision, describe(device))
        with numerics(recipe, device, precision):
            facts = RunFacts.of(recipe, pictures)
            result = GANLoop(recipe, state, trainer, folder, logger, facts, held_out).run(resumed, on_progress, on_stop)
        logger.close(result.finished, result.seconds)
        return result


class GANLoop(TrainingLoop):
    """The schedule of a recipe: stats, grids, the model folder, evaluation, and the EMA after each generator step."""

    state: TrainState

    def __init__(
        self, recipe: Recipe, state: TrainState, trainer: GANTrainer, folder: RunDir, logger: RunLogger,
        facts: RunFacts, held_out: PictureSet | None = None,
    ) -> None:  # fmt: skip
        run = recipe.run
        super().__init__(
            state, recipe.training.images, recipe.training.batch_size,
            Intervals(run.stats_every, run.checkpoint_every, run.grid_every, run.keep_last, run.keep_every),
            folder.path, folder.checkpoints, folder.log, run.loss_limit, trainer.meters,
        )  # fmt: skip
        self.recipe, self.trainer, self.logger = recipe, trainer, logger
        self.evaluator = Evaluator(recipe, logger, held_out)
        self.run_dir, self.facts = folder, facts
        self.lines = plots.read_stats(folder.stats)[-LINES:] if folder.stats.exists() else []
        self.warning = str(find_failure(self.lines, facts) or "")

    def step(self) -> None:
        self._generator_updated = self.trainer.step()

    def after_step(self) -> None:
        if self._generator_updated:
            self.state.ema.update(self.state.images_seen, self.batch_size * self.recipe.training.n_critic)

    def report(self, stats: dict[str, float]) -> None:
        clock, before = self.state.images_seen, self.warning
        self.lines = [*self.lines, {"clock": clock, **stats}][-LINES:]
        failure = find_failure(self.lines, self.facts)
        self.logger.log_stats(clock, stats, {"warning": failure.name} if failure else {})
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

    def advice(self, kept: bool) -> str:
        go_on = "--allow-changes and " if kept else ""
        return (
            f"Try again with {go_on}a lower learning rate (--optim.lr), --precision fp32, or a penalty "
            "(--penalties.r1.weight 1)"
        )
