"""The run logger: log, stats, TensorBoard, grids, plots, films and the model folder of a training."""

from __future__ import annotations

import math
import platform
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from kaogan.config import recipes
from kaogan.config.recipe import Recipe
from kaogan.core.atomic_io import atomic
from kaogan.core.ema import CALIBRATION_BATCH, CALIBRATION_BATCHES
from kaogan.core.images import grid, to_uint8
from kaogan.core.rng import draw_latents, numpy_generator, torch_generator
from kaogan.data import PictureSet
from kaogan.generate.model import Model, card, make_config
from kaogan.networks import count_parameters
from kaogan.training import plots
from kaogan.training.run_dir import RunDir
from kaogan.training.state import TrainState
from kaogan.training.trackers import Tracker
from kaogan.version import __version__

PLOTS_EVERY = 60.0  # seconds; where a card shows 10,000 images in one, plotting would take longer than training


def _quieten_board() -> None:
    """TensorBoard's thread keeps its error, a full disk for example, and gives it to the next who writes. That one
    reports it, so the thread itself need not print a traceback."""
    before = threading.excepthook

    def without_board(failed: threading.ExceptHookArgs) -> None:
        if not type(failed.thread).__module__.startswith("tensorboard."):
            before(failed)

    if getattr(before, "__name__", "") != without_board.__name__:
        threading.excepthook = without_board


def sampling_batch(side: int) -> int:
    """How many pictures of a grid are drawn at once: fewer above 128 px, where 64 of a StyleGAN3 take over 20 GB."""
    return max(1, min(CALIBRATION_BATCH, CALIBRATION_BATCH * 128**2 // side**2))


class RunLogger:
    """Writes everything that a person looks at. Nothing here changes the course of the training."""

    def __init__(
        self, folder: RunDir, recipe: Recipe, pictures: PictureSet, state: TrainState, device: torch.device,
        base: dict[str, Any] | None = None, tracker: Tracker | None = None,
    ) -> None:  # fmt: skip
        self.base, self.tracker = base, tracker
        self.folder, self.recipe, self.pictures, self.state, self.device = folder, recipe, pictures, state, device
        seed, count = recipe.run.seed, recipe.run.grid_pictures
        schema = pictures.schema
        self.latents = draw_latents(
            count, recipe.latent.size, recipe.latent.distribution, torch_generator(seed, "grid/latents")
        )
        self.conditions = schema.encode(schema.sample(count, torch_generator(seed, "grid/labels"))) if schema else None
        calibration = schema.sample(
            CALIBRATION_BATCH * CALIBRATION_BATCHES,
            torch_generator(seed, "calibrate/labels"),
            uniform=recipe.attributes.uniform,
        )
        self.calibration_conditions = schema.encode(calibration) if schema else None
        self.columns = max(1, round(count**0.5))
        self.machine = ""
        self._sampled: tuple[int, np.ndarray] | None = None
        self._plotted = -1, -math.inf

    def open(self, precision: str, machine: str) -> None:
        log, state, pictures = self.folder.log, self.state, self.pictures
        self.machine = machine
        _quieten_board()
        self.board = SummaryWriter(str(self.folder.path / "tensorboard"), purge_step=state.images_seen)
        log.info("kaogan %s, torch %s, python %s", __version__, torch.__version__, platform.python_version())
        log.info("machine: %s, %s, %d threads, %s", machine, self.device, torch.get_num_threads(), precision)
        log.info("data: %s, %d pictures, %d skipped", pictures.source, len(pictures.images), len(pictures.skipped))
        if pictures.selected_from:
            log.info("selected: those pictures are the most typical ones of %d", pictures.selected_from)
        for name, reason in pictures.skipped:
            log.info("skipped %s: %s", name, reason)
        for note in pictures.notes:
            log.info("%s", note)
        for each in pictures.schema.attributes:
            log.info("conditional on %s: %s", each.name, ", ".join(each.values))
        log.info(
            "parameters: generator %s, discriminator %s",
            f"{count_parameters(state.generator):,}",
            f"{count_parameters(state.discriminator):,}",
        )
        settings = recipes.flatten(self.recipe.to_dict())
        for key, value in settings.items():
            log.info("setting %s = %s", key, value)
        if self.tracker:
            self.tracker.open(self.folder.path.name, self.folder.path, settings, log)
        real = numpy_generator(self.recipe.run.seed, "grid/real").permutation(len(pictures.images))
        self._picture(pictures.images[np.sort(real[: len(self.latents)])], self.folder.path / "real.png")

    def log_stats(self, clock: int, stats: dict[str, float], words: Mapping[str, str] | None = None) -> None:
        """``words`` go into stats.jsonl alone."""
        self.folder.append_stats({"clock": clock, "seconds": round(self.state.seconds, 3), **stats, **(words or {})})
        for name, value in stats.items():
            self.board.add_scalar(name, value, clock)
        if self.tracker:
            self.tracker.numbers(clock, stats)

    def save_grid(self, clock: int) -> None:
        pictures = self._generate()
        self._picture(pictures, self.folder.grid_at(clock))
        self.board.add_image("samples", grid(pictures, self.columns), clock, dataformats="HWC")

    def generator(self) -> nn.Module:
        """The EMA generator at the current clock, in eval mode."""
        self._generate()
        return self.state.ema.module

    def save_model(self, folder: Path | None = None, measured: Mapping[str, Any] | None = None) -> None:
        """The model folder (or another, ``folder``) and the plots, as of now; ``measured`` are keywords of ``card``."""
        pictures, generator = self._generate(), self.generator()
        config = make_config(
            self.recipe,
            self.pictures.schema,
            clock=self.state.images_seen,
            data={
                "name": Path(self.pictures.source).name,  # a model is shared; where its set lay is nobody's business
                "count": len(self.pictures.images),
                "fingerprint": self.pictures.fingerprint,
                **({"selected_from": self.pictures.selected_from} if self.pictures.selected_from else {}),
            },
            minutes=self.state.seconds / 60,
            machine=self.machine,
            base=self.base,
        )
        # On the device of the EMA: a model moves its generator to its own.
        model = Model(generator, self.pictures.schema, config, device=self.device)
        preview = grid(pictures[: min(64, len(self.latents))], min(8, self.columns))
        model.save(folder or self.folder.model, card(config, **(measured or {})), preview)
        if folder is not None:
            return
        self._plot(PLOTS_EVERY)
        self.folder.log.info("saved at %d images, %.0f s", self.state.images_seen, self.state.seconds)

    def close(self, finished: bool, seconds: float) -> None:
        self._plot()
        frames = sorted(self.folder.grids.glob("[0-9]*.png"))
        note = plots.film(frames, self.folder.path / "progress.gif", self.folder.path / "progress.mp4")
        if note:
            self.folder.log.info("%s", note)
        self.board.close()
        if self.tracker:
            self.tracker.close()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        word = "finished" if finished else "interrupted"
        self.folder.log.info("%s at %d images after %.1f s, %s", word, self.state.images_seen, seconds, now)

    def _plot(self, interval: float = 0.0) -> None:
        """Draw the plots of now, unless they are less than ``interval`` seconds old."""
        clock, (drawn_at, when) = self.state.images_seen, self._plotted
        if clock != drawn_at and time.monotonic() - when >= interval:
            self._plots()
            self._plotted = clock, time.monotonic()

    def _plots(self) -> None:
        # A checkpoint may come before the first line.
        stats: list[dict[str, Any]] = plots.read_stats(self.folder.stats) if self.folder.stats.exists() else []
        if not stats:
            return
        title = f"{self.recipe.name} on {self.pictures.source}"
        plots.loss_plot(stats, self.folder.path / "loss.png", title)
        plots.attribute_plot(stats, self.folder.path / "attributes.png", title)

    def _generate(self) -> np.ndarray:
        """The averaged generator's pictures of the fixed latents: measured and made once for a grid and a model."""
        if self._sampled is None or self._sampled[0] != self.state.images_seen:
            self._sampled = self.state.images_seen, self._sample()
        return self._sampled[1]

    @torch.no_grad()
    def _sample(self) -> np.ndarray:
        generator = self.state.ema.snapshot(self._calibration())
        size = sampling_batch(self.recipe.image_size)
        starts = range(0, len(self.latents), size)
        parts = [to_uint8(generator(*self._inputs(self.latents, self.conditions, start, size))) for start in starts]
        return np.concatenate(parts)

    def _calibration(self) -> Iterator[tuple[Tensor, ...]]:
        """Inputs, drawn like those of training, with which statistics of batch normalisation are measured."""
        latent = self.recipe.latent
        rng = torch_generator(self.recipe.run.seed, "calibrate")
        latents = draw_latents(CALIBRATION_BATCHES * CALIBRATION_BATCH, latent.size, latent.distribution, rng)
        for start in range(0, len(latents), CALIBRATION_BATCH):
            yield self._inputs(latents, self.calibration_conditions, start)

    def _inputs(
        self, latents: Tensor, conditions: Tensor | None, start: int, size: int = CALIBRATION_BATCH
    ) -> tuple[Tensor, ...]:
        """A batch of the generator's inputs, on the device."""
        part = slice(start, start + size)
        inputs = (latents[part],) if conditions is None else (latents[part], conditions[part])
        return tuple(each.to(self.device) for each in inputs)

    def _picture(self, pictures: np.ndarray, path: Any) -> None:
        sheet = grid(pictures, self.columns)
        with atomic(path) as temporary:
            Image.fromarray(sheet.squeeze(-1) if sheet.shape[-1] == 1 else sheet).save(temporary)
